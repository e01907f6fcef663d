#!/usr/bin/env bash
# Runs both services on this machine, with SQLite files in data/, until Ctrl-C or until one of them ends.
# Any setting can be given in the environment; the webhook's secret is made up and kept in data/ when there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

umask 077
mkdir -p data
if [[ -z ${GATEWAY_WEBHOOK_SECRET:-} && -z ${GATEWAY_WEBHOOK_SECRET_FILE:-} ]]; then
  export GATEWAY_WEBHOOK_SECRET_FILE=data/webhook-secret
  if [[ ! -s $GATEWAY_WEBHOOK_SECRET_FILE ]]; then
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$GATEWAY_WEBHOOK_SECRET_FILE"
  fi
  echo "webhook secret: in $GATEWAY_WEBHOOK_SECRET_FILE"
fi

# A job in the background of a script does not get Ctrl-C's signal, so this passes it on.
pids=()
asked=
stop() { kill -TERM "${pids[@]}" 2>/dev/null || true; }
trap 'asked=yes; stop' INT TERM

bin/ticketsvc &
pids+=($!)
bin/gateway &
pids+=($!)

# Returns when one has ended, or when a signal asks to stop. Then both have to end.
status=0
wait -n || status=$?
stop
for pid in "${pids[@]}"; do
  wait "$pid" || true
done
if [[ -n $asked ]]; then exit 0; fi
echo "one of the services has ended, so the other was stopped" >&2
exit "$status"
