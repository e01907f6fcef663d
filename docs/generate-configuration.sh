#!/usr/bin/env bash
# Writes docs/configuration.md from what --help of both services prints: docs/generate-configuration.sh <folder with the binaries>.
set -euo pipefail
binaries=$(realpath "$1")
cd "$(dirname "$0")"

# Prints the settings of a command as rows of a table. Help that is this wide has one line for each setting.
rows() {
  COLUMNS=10000 "$@" --help | sed -nE '
    s/</\&lt;/g; s/>/\&gt;/g; s/\|/\\|/g
    t next
    :next
    s/^ +(-.), --(version) +(.*)$/| `--\2`, `\1` | | | \3 |/p; t
    s/^ +--([a-z-]+)(=[^ ]+)? +(.*) Default ([^ ]+)\. \(\$([A-Z_]+)\)$/| `--\1` | `\5` | `\4` | \3 |/p; t
    s/^ +--([a-z-]+)(=[^ ]+)? +(.*) \(\$([A-Z_]+)\)$/| `--\1` | `\4` | none | \3 |/p; t
    s/^ +--([a-z-]+)(=[^ ]+)? +(.*)$/| `--\1` | | | \3 |/p'
}

# Prints the commands of a service, but not the one that serves.
commands() {
  COLUMNS=10000 "$binaries/$1" --help | sed -n '/^Commands:/,$p' | sed -nE '
    s/</\&lt;/g; s/>/\&gt;/g; s/ \[flags\]$//
    /^  [a-z]/{N; s/^  ([^\n]*)\n +(.*)$/| `'"$1"' \1` | \2 |/; s/&lt;/</g; s/&gt;/>/g; p}'
}

{
  cat <<'TEXT'
<!-- Written by make generate from --help of both services. Change the help in gateway/cmd/gateway/settings.go and
ticketsvc/cmd/ticketsvc/settings.go. -->

# Configuration

For operators: every setting of both services, its variable and its default.

- Each setting is a flag or an environment variable. The flag takes precedence.
- A variable that begins with `GATEWAY_` or `TICKETSVC_` and is not a setting is an error, because it is a mistyped one. Variables that
  Kubernetes sets for a Service of the same name (`GATEWAY_SERVICE_HOST`, `GATEWAY_PORT_8080_TCP` …) are ignored.
- Lists are comma-separated. Durations have a unit: `500ms`, `10s`, `2m`, `24h`.
- Give secrets in files or in the environment: other users can read the command line of a process.
- Files with secrets, tokens and certificates are read again within five seconds after a change, and at once on SIGHUP, except
  `--ticketsvc-ca-file`. An invalid file is ignored: the previous contents stay in force, and the log names the setting.
- A service without a file to read again ignores SIGHUP and says so in the log. SIGHUP never ends a service.

| exit status | meaning |
|---|---|
| 0 | the service stopped after SIGTERM or Ctrl-C, or the command succeeded |
| 1 | the service or the command failed |
| 2 | a wrong command line or setting, or a database or address that a service can't use at its start: one line for each, with the fix |

When the process that reads the log ends, the service continues and its log lines are lost. When that process hangs, a log line waits for
one second. Then lines are dropped until it reads again, and a warning gives their number.

`GOGC`, `GOMEMLIMIT` and `GOMAXPROCS` are Go's own variables. Unless they are set, both services use `GOGC=400`, `GOMEMLIMIT=256MiB` and one
more thread than there are processors ([why](decisions.md#the-go-runtime)).
TEXT
  for service in gateway ticketsvc; do
    printf '\n## %s\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n' "$service"
    rows "$binaries/$service"
    printf '\nCommands, each with its own `--help`:\n\n| command | what it does |\n|---|---|\n'
    commands "$service"
  done
} >configuration.md
