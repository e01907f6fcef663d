# What the scripts that run services on this machine share. They source it in the project's folder.
# Any setting can be given in the environment; the webhook's secret is made up and kept in data/ when there is none.

umask 077
mkdir -p data

made_up() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

if [[ -z ${GATEWAY_WEBHOOK_SECRET:-} && -z ${GATEWAY_WEBHOOK_SECRET_FILE:-} ]]; then
  export GATEWAY_WEBHOOK_SECRET_FILE=data/webhook-secret
  if [[ ! -s $GATEWAY_WEBHOOK_SECRET_FILE ]]; then
    # The line is ended, so that another secret can be appended as a line of its own.
    { made_up && echo; } >"$GATEWAY_WEBHOOK_SECRET_FILE"
  fi
  echo "webhook secret: in $GATEWAY_WEBHOOK_SECRET_FILE"
fi

# Waits until processes have ended. The shell's own wait won't do: a signal can make it forget a process that has ended already, and then
# waiting for that one never ends.
wait_for() {
  local pid
  for pid in "$@"; do
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  done
}

# Ends what was started. Signals that come meanwhile change nothing.
services=()
declare -A names
stop_services() {
  trap '' INT TERM HUP
  kill -TERM "${services[@]}" 2>/dev/null || true
  wait_for "${services[@]}"
}
trap stop_services EXIT
trap 'exit 0' INT TERM HUP

# Starts a service in the background: start NAME COMMAND… The service has a process group of its own, so Ctrl-C reaches this script alone,
# which then ends all services in order.
start() {
  local name=$1
  shift
  set -m
  "$@" &
  services+=($!)
  names[$!]=$name
  set +m
}

# Starts a service as start does, and starts it again whenever it ends, except when a setting is wrong.
keep() { start "$1" keeping "$@"; }

keeping() {
  local name=$1 stopping='' child='' status
  shift
  trap 'stopping=yes; kill -TERM "$child" 2>/dev/null || true' TERM
  trap '' INT HUP
  while [[ -z $stopping ]]; do
    "$@" &
    child=$!
    echo "$name runs as process $child"
    status=0
    wait "$child" 2>/dev/null || status=$?
    wait_for "$child"
    if [[ $status -eq 2 ]]; then return 2; fi
    if [[ -z $stopping ]]; then
      echo "$name has ended with $(ending $status), and starts again in 3 s"
      sleep 3 &
      wait $! || true
    fi
  done
}

# Says in words how a process ended that has this status.
ending() { if (($1 > 128)); then echo "signal $(kill -l "$1")"; else echo "status $1"; fi; }

# Returns only by a signal that asks to stop. When a process that has a name ends by itself, the script stops the services and ends with
# the status of that process. The shell's "wait -n" won't do: it never returns for a process that ended before the call.
wait_until_one_ends() {
  local pid status=0
  # From here on without the shell's own lines about processes that end: they name no service.
  exec 3>&2 2>/dev/null
  while true; do
    for pid in "${!names[@]}"; do
      kill -0 "$pid" || break 2
    done
    sleep 0.2
  done
  wait "$pid" || status=$?
  echo "${names[$pid]} (process $pid) has ended with $(ending $status): stopping the others" >&3
  exit "$status"
}
