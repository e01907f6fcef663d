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
stop_services() {
  trap '' INT TERM HUP
  kill -TERM "${services[@]}" 2>/dev/null || true
  wait_for "${services[@]}"
}
trap stop_services EXIT
trap 'exit 0' INT TERM HUP

# Starts a service in the background, in a process group of its own, so that Ctrl-C reaches this script alone, which then ends all in order.
start() {
  set -m
  "$@" &
  services+=($!)
  set +m
}

# Starts a service under a name, and starts it again whenever it ends, unless that is for a setting that is wrong.
keep() { start keeping "$@"; }

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
    wait "$child" || status=$?
    wait_for "$child"
    if [[ $status -eq 2 ]]; then return 2; fi
    if [[ -z $stopping ]]; then
      echo "$name has ended with status $status, and starts again in 3 s"
      sleep 3 &
      wait $! || true
    fi
  done
}

# Returns only by a signal that asks to stop. When something has ended by itself, the rest is stopped, and its status is the script's.
wait_until_one_ends() {
  local status=0
  wait -n || status=$?
  echo "one of them has ended, so all are stopped" >&2
  exit "$status"
}
