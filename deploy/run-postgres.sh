#!/usr/bin/env bash
# Runs PostgreSQL, two gateways and two ticketsvcs on this machine, until Ctrl-C or until PostgreSQL ends. A gateway or a ticketsvc that
# ends is started again. PostgreSQL's data is in data/postgres, its log in data/postgres.log, and its passwords in data/pgpass.
# RUN_POSTGRES_PORT is PostgreSQL's port, 5433 when it isn't set. The services' settings can be given in the environment, except
# their addresses and databases; the webhook's secret is made up and kept in data/ when there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
binaries=$(deploy/find-postgres.sh)
port=${RUN_POSTGRES_PORT:-5433}
source deploy/services.sh

# PostgreSQL refuses to run as root. Another account then owns its data, and has to reach it through data/, which others can't.
as=()
if [[ $EUID -eq 0 ]]; then
  account=postgres
  if ! id "$account" &>/dev/null; then account=nobody; fi
  group=$(id -gn "$account")
  as=(setpriv --reuid "$account" --regid "$group" --clear-groups)
  chgrp "$group" data
  chmod 710 data
  if ! "${as[@]}" test -x "$PWD/data"; then
    echo "account $account, as which PostgreSQL runs, can't reach $PWD/data: run this as another account than root, or elsewhere" >&2
    exit 1
  fi
fi

# The form is that of PostgreSQL's own password files.
if [[ ! -s data/pgpass ]]; then
  for role in postgres gateway ticketsvc; do
    echo "127.0.0.1:*:*:$role:$(made_up)"
  done >data/pgpass
fi
password_of() { awk -F : -v role="$1" '$4 == role { print $5 }' data/pgpass; }

if [[ ! -s data/postgres/PG_VERSION ]]; then
  echo "making PostgreSQL's files in data/postgres"
  mkdir -p data/postgres
  # Nothing else runs yet that would have to be stopped.
  trap 'rm -f data/initdb-password' EXIT
  password_of postgres >data/initdb-password
  if [[ $EUID -eq 0 ]]; then chown "$account" data/postgres data/initdb-password; fi
  if ! "${as[@]}" "$binaries/initdb" --pgdata "$PWD/data/postgres" --username postgres --pwfile "$PWD/data/initdb-password" \
    --auth scram-sha-256 --encoding UTF8 --locale C >data/postgres.log 2>&1; then
    echo "PostgreSQL's files can't be made; the end of data/postgres.log:" >&2
    tail -n 5 data/postgres.log >&2
    exit 1
  fi
  rm data/initdb-password
fi

# PostgreSQL ends after the services, which may still have something to write.
stop_postgres() {
  kill -INT "$postgres" 2>/dev/null || true
  wait_for "$postgres"
}
trap 'stop_services; stop_postgres' EXIT
# In a process group of its own, as the services.
set -m
"${as[@]}" "$binaries/postgres" -D "$PWD/data/postgres" -c listen_addresses=127.0.0.1 -c port="$port" -c unix_socket_directories= \
  </dev/null >>data/postgres.log 2>&1 &
postgres=$!
names[$postgres]=PostgreSQL
set +m

sql() { PGPASSFILE=data/pgpass PGCONNECT_TIMEOUT=2 "$binaries/psql" -h 127.0.0.1 -p "$port" -U postgres -X -q -v ON_ERROR_STOP=1 postgres; }
SECONDS=0
until error=$(sql <<<'SELECT' 2>&1 >/dev/null); do
  if ! kill -0 "$postgres" 2>/dev/null || [[ $SECONDS -gt 60 ]]; then
    echo "PostgreSQL does not start: $error; the end of data/postgres.log:" >&2
    tail -n 5 data/postgres.log >&2
    exit 1
  fi
  sleep 0.1
done
# Each service has a role and a database of its own, so that neither can read the other's.
for role in gateway ticketsvc; do
  sql <<SQL
SELECT 'CREATE ROLE $role' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$role') \gexec
ALTER ROLE $role LOGIN PASSWORD '$(password_of $role)';
SELECT 'CREATE DATABASE $role OWNER $role' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$role') \gexec
REVOKE ALL ON DATABASE $role FROM PUBLIC;
SQL
done

# In the environment, since others can read the command line of a process.
url_of() { echo "postgres://$1:$(password_of "$1")@127.0.0.1:$port/$1?sslmode=disable"; }
start_ticketsvc() {
  TICKETSVC_LISTEN=127.0.0.1:$2 TICKETSVC_ADMIN_LISTEN=127.0.0.1:$3 TICKETSVC_DATABASE_URL=$(url_of ticketsvc) \
    keep "ticketsvc $1" bin/ticketsvc
}
start_gateway() {
  GATEWAY_LISTEN=127.0.0.1:$2 GATEWAY_ADMIN_LISTEN=127.0.0.1:$3 GATEWAY_TICKETSVC_URL=http://127.0.0.1:$4 \
    GATEWAY_DATABASE_URL=$(url_of gateway) keep "gateway $1" bin/gateway
}
start_ticketsvc 1 9090 9091
start_ticketsvc 2 9092 9093
start_gateway 1 8080 8081 9090
start_gateway 2 8082 8083 9092
cat <<TEXT
gateway 1:      http://127.0.0.1:8080/webhook, admin 8081, forwards to ticketsvc 1
gateway 2:      http://127.0.0.1:8082/webhook, admin 8083, forwards to ticketsvc 2
ticketsvc 1:    http://127.0.0.1:9090, admin 9091
ticketsvc 2:    http://127.0.0.1:9092, admin 9093
PostgreSQL:     process $postgres, log in data/postgres.log
its databases:  PGPASSFILE=data/pgpass psql -h 127.0.0.1 -p $port -U gateway gateway
                PGPASSFILE=data/pgpass psql -h 127.0.0.1 -p $port -U ticketsvc ticketsvc
TEXT
wait_until_one_ends
