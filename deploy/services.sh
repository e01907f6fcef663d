# What the scripts that run services on this machine share. They source it in the project's folder.
# Any setting can be given in the environment; the webhook's secret is made up and kept in data/ when there is none.

umask 077
mkdir -p data

made_up() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

if [[ -z ${GATEWAY_WEBHOOK_SECRET:-} && -z ${GATEWAY_WEBHOOK_SECRET_FILE:-} ]]; then
  export GATEWAY_WEBHOOK_SECRET_FILE=data/webhook-secret
  if [[ ! -s $GATEWAY_WEBHOOK_SECRET_FILE ]]; then
    made_up >"$GATEWAY_WEBHOOK_SECRET_FILE"
  fi
  echo "webhook secret: in $GATEWAY_WEBHOOK_SECRET_FILE"
fi

# A job in the background of a script does not get Ctrl-C's signal, so this passes it on, and waits until all have ended. Signals
# that come meanwhile change nothing.
services=()
stop_services() {
  trap '' INT TERM HUP
  kill -TERM "${services[@]}" 2>/dev/null || true
  for pid in "${services[@]}"; do
    wait "$pid" || true
  done
}
trap stop_services EXIT
trap 'exit 0' INT TERM HUP

# Starts a service in the background.
start() {
  "$@" &
  services+=($!)
}

# Returns only by a signal that asks to stop. When something has ended by itself, the rest is stopped, and its status is the script's.
wait_until_one_ends() {
  local status=0
  wait -n || status=$?
  echo "one of them has ended, so all are stopped" >&2
  exit "$status"
}
