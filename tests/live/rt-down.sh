#!/usr/bin/env bash
# Stops the Request Tracker that rt-up.sh started with the same STATE_DIR; nothing else, as ids of processes are reused.
set -euo pipefail
: "${STATE_DIR:?}"
[ -s "$STATE_DIR/rt.pid" ] || exit 0
STATE_DIR="$(cd "$STATE_DIR" && pwd)"
pid="$(cat "$STATE_DIR/rt.pid")"
ours() { { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qxF "RT_SITE_CONFIG=$STATE_DIR/RT_SiteConfig.pm"; }
if ours; then
    kill -TERM "$pid"   # interrupted with INT, rt-server makes the files of a system-wide RT its own
    for _ in $(seq 50); do ours || break; sleep 0.1; done
    if ours; then kill -KILL "$pid"; fi
fi
rm -f "$STATE_DIR/rt.pid"
