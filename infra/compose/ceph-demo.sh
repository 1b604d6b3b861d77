#!/bin/bash
# An S3 server for trying: Ceph with one monitor, one store in memory and one gateway in one container, as an ordinary
# user. Everything it holds is gone when it stops. Its one user has the keys of the secret s3_credentials.
set -euo pipefail
home=/tmp/ceph
keys=/run/secrets/s3_credentials
fsid="$(cat /proc/sys/kernel/random/uuid)" osd="$(cat /proc/sys/kernel/random/uuid)"
mon='[v2:127.0.0.1:3300,v1:127.0.0.1:6789]'
export CEPH_CONF="$home/ceph.conf"

key() { sed -n "s/^ *$1 *= *//p" "$keys"; }
wait_for() { for _ in $(seq 120); do "$@" >/dev/null 2>&1 && return; sleep 0.5; done; echo "no answer in time: $*" >&2; exit 1; }

rm -rf "$home"
mkdir -p "$home"/{mon,osd,rgw}
cat >"$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon host = $mon
public addr = 127.0.0.1
keyring = $home/keyring
run dir = $home
admin socket = $home/\$name.asok
pid file = $home/\$name.pid
log file = $home/\$name.log
mon data = $home/mon
mon data avail crit = 0
mon allow pool size one = true
osd data = $home/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
[client.rgw.a]
rgw data = $home/rgw
rgw frontends = beast port=7480
rgw thread pool size = 16
CONF
monmaptool --create --fsid "$fsid" --addv a "$mon" "$home/monmap"
ceph-authtool --create-keyring "$home/keyring" --gen-key -n mon. --cap mon 'allow *'
ceph-authtool "$home/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
ceph-authtool "$home/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
ceph-authtool "$home/keyring" --gen-key -n client.rgw.a --cap mon 'allow *' --cap osd 'allow *'
ceph-mon --mkfs -i a --monmap "$home/monmap" --keyring "$home/keyring"
ceph-mon -i a -f &
wait_for timeout 5 ceph -s
ceph osd new "$osd"
ceph-osd -i 0 --mkfs --osd-uuid "$osd"
ceph-osd -i 0 -f &
wait_for sh -c 'timeout 5 ceph osd stat | grep -q "1 up"'
radosgw -n client.rgw.a -f &
wait_for bash -c ': </dev/tcp/127.0.0.1/7480'
wait_for timeout 30 radosgw-admin -n client.rgw.a user create --uid=stagegate --display-name=stagegate \
    --access-key="$(key aws_access_key_id)" --secret-key="$(key aws_secret_access_key)"
touch "$home/ready"
echo "S3 answers at http://ceph:7480"
wait -n # the first daemon that ends takes the container with it
exit 1
