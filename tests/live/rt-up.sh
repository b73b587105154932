#!/usr/bin/env bash
# Starts a private Request Tracker 5 on loopback, set up as deploy/request-tracker/README.md says, from the very files.
#
#   PORT=8390 STATE_DIR=/some/empty/folder HOOK_URL=http://127.0.0.1:8099/webhooks/rt tests/live/rt-up.sh
#
# Everything but the Debian packages lives in STATE_DIR; env there holds the tokens, as shell assignments.
# Exit status 3: RT cannot be installed here. What it says on stderr is the reason.
set -euo pipefail

: "${PORT:?}" "${STATE_DIR:?}" "${HOOK_URL:?}"
HERE="$(cd "$(dirname "$0")" && pwd)"
DEPLOY="$HERE/../../deploy/request-tracker"
SERVER=/usr/share/request-tracker5/libexec/rt-server
SETUP=/usr/sbin/rt-setup-database-5
WORKERS=10   # more than a test has callers at once: RT sends the webhook from inside a worker
PACKAGES=(request-tracker5 rt5-standalone rt5-db-sqlite dbconfig-no-thanks msmtp-mta)

say() { printf 'rt-up: %s\n' "$*" >&2; }

umask 077
mkdir -p "$STATE_DIR"/{conf.d,mason,session,var,log}
STATE_DIR="$(cd "$STATE_DIR" && pwd)"

# dbconfig-no-thanks and msmtp-mta: no questions are asked, and no database or mail server comes along.
if [ ! -e "$SERVER" ] || [ ! -e "$SETUP" ] || ! perl -MStarlet -MDBD::SQLite -e 1 2>/dev/null; then
    [ "$(id -u)" = 0 ] || { say "Request Tracker is not installed, and only root can: apt-get install ${PACKAGES[*]}"; exit 3; }
    command -v apt-get >/dev/null || { say "Request Tracker is not installed, and there is no apt-get"; exit 3; }
    say "installing Request Tracker (about 270 packages, a minute)"
    export DEBIAN_FRONTEND=noninteractive
    APT=(apt-get -y -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold)
    { "${APT[@]}" update && "${APT[@]}" install --no-install-recommends "${PACKAGES[@]}"; } >"$STATE_DIR/log/apt.log" 2>&1 ||
        { tail -5 "$STATE_DIR/log/apt.log" >&2; say "apt-get could not install Request Tracker"; exit 3; }
fi

# Step 1 of the README: the configuration, with the address and the secret of this connector.
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
random >"$STATE_DIR/webhook.secret"
sed -e "s|https://connector.example.org/webhooks/request-tracker|$HOOK_URL|" \
    -e "s|/etc/request-tracker5/inquiry-connector.secret|$STATE_DIR/webhook.secret|" \
    "$DEPLOY/inquiry-connector.pm" >"$STATE_DIR/conf.d/inquiry-connector.pm"
cat >"$STATE_DIR/RT_SiteConfig.pm" <<PERL
\$MasonDataDir    = '$STATE_DIR/mason';
\$MasonSessionDir = '$STATE_DIR/session';
\$VarPath         = '$STATE_DIR/var';
Set(\$rtname, 'office');
Set(\$Organization, 'office.example');
Set(\$Timezone, 'America/New_York');            # of the office; the connector's account has its own
Set(\$WebDomain, '127.0.0.1');
Set(\$WebPort, $PORT);
Set(\$WebBaseURL, 'http://127.0.0.1:$PORT');
Set(\$WebSecureCookies, 0);
Set(\$DatabaseType, 'SQLite');
Set(\$DatabaseName, '$STATE_DIR/rt.sqlite3');
Set(\$WebSessionClass, 'Apache::Session::File');
Set(\$MailCommand, 'mbox');
Set(\$LogToSyslog, undef);
Set(\$LogToSTDERR, 'warning');
Set(\$LogToFile, undef);
Set(\$StatementLog, undef);
Set(\$BcryptCost, 4);                           # a token is checked at every request
1;
PERL
export RT_SITE_CONFIG="$STATE_DIR/RT_SiteConfig.pm" RT_SITE_CONFIG_DIR="$STATE_DIR/conf.d" HOME="$STATE_DIR" STATE_DIR
export no_proxy=127.0.0.1

# Step 2: the database. What the tests need besides is in a file of its own.
random >"$STATE_DIR/root.password"
say "creating the database"
for step in "init --root-password-file $STATE_DIR/root.password" "insert --datafile $DEPLOY/initialdata" \
    "insert --datafile $HERE/rt-testdata"; do
    # shellcheck disable=SC2086  # a step is several words
    "$SETUP" --action $step >>"$STATE_DIR/log/setup.log" 2>&1 </dev/null ||
        { tail -20 "$STATE_DIR/log/setup.log" >&2; say "failed: $step"; exit 1; }
done
if grep -qE '\[(error|critical)\]|Unable to|already exists' "$STATE_DIR/log/setup.log"; then
    cat "$STATE_DIR/log/setup.log" >&2; say "the database was not made without errors"; exit 1
fi
# Readers must not block the writer, else some calls fail with "database is locked".
perl -MDBI -e 'DBI->connect("dbi:SQLite:dbname=$ARGV[0]","","",{RaiseError=>1})->do("PRAGMA journal_mode=WAL")' \
    "$STATE_DIR/rt.sqlite3"

setsid "$SERVER" --server Starlet --host 127.0.0.1 --port "$PORT" --max-workers "$WORKERS" --max-reqs-per-child 2000 \
    >>"$STATE_DIR/log/server.log" 2>&1 </dev/null &
echo $! >"$STATE_DIR/rt.pid"
cat >"$STATE_DIR/env" <<ENV
RT_URL=http://127.0.0.1:$PORT
CONNECTOR_TOKEN=$(cat "$STATE_DIR/token.inquiry-connector")
STAFF_TOKEN=$(cat "$STATE_DIR/token.maria")
BLIND_TOKEN=$(cat "$STATE_DIR/token.blind")
ROOT_TOKEN=$(cat "$STATE_DIR/token.root")
HOOK_SECRET=$(cat "$STATE_DIR/webhook.secret")
ENV
for _ in $(seq 150); do
    kill -0 "$(cat "$STATE_DIR/rt.pid")" 2>/dev/null || { tail -20 "$STATE_DIR/log/server.log" >&2; say "the server died"; exit 1; }
    python3 - "$PORT" "$(cat "$STATE_DIR/token.root")" <<'PY' 2>/dev/null && { say "up"; exit 0; }
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
connection.request("GET", "/REST/2.0/rt", headers={"Authorization": f"token {sys.argv[2]}"})
sys.exit(connection.getresponse().status != 200)
PY
    sleep 0.2
done
say "no answer from the REST API, see $STATE_DIR/log/server.log"; exit 1
