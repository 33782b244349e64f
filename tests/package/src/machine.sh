# Boots systemd in a host's network namespace. $1 is a name, $2 the network namespace, $3 the folder of the host's Open vSwitch, $4
# a folder for /srv. Runs in a mount namespace of its own; ends when the system has ended, and leaves nothing behind.
set -e
name=$1 netns=$2 switch=$3 srv=$4

# Inside: the files of this machine under a layer in memory, folders of its own for what is not a file, and no service of this machine's.
boot='
set -e
switch=$1 srv=$2 new=/mnt/root
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work $new
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work $new
mount -t proc proc $new/proc
mount -t sysfs sysfs $new/sys
mount -t cgroup2 cgroup2 $new/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $new/run
mount -t tmpfs tmpfs $new/tmp
mount -t tmpfs -o mode=755 tmpfs $new/dev
for device in null zero full random urandom tty; do
    touch $new/dev/$device && mount --bind /dev/$device $new/dev/$device
done
mkdir $new/dev/shm $new/dev/pts $new/run/openvswitch
mount -t devpts -o newinstance,ptmxmode=666 devpts $new/dev/pts
ln -s pts/ptmx $new/dev/ptmx
ln -s /proc/self/fd $new/dev/fd
mount --bind $switch $new/run/openvswitch
mkdir -p $new/srv && mount --bind $srv $new/srv
cd $new
# Packages come as on a fresh host: nothing keeps them from starting services, all of their files are wanted.
rm -rf usr/sbin/policy-rc.d etc/dpkg/dpkg.cfg.d etc/systemd/system/*.wants
rm -f var/log/ovstunnel.log* var/log/ovstunnel-audit.log*
for wants in sysinit sockets timers local-fs multi-user basic; do
    find usr/lib/systemd/system/$wants.target.wants -type l ! -name "systemd-journald*" -delete 2>/dev/null || true
done
# Rules of the machine would give devices other names.
find usr/lib/udev/rules.d etc/udev/rules.d -name "*.rules" -delete 2>/dev/null || true
units=etc/systemd/system
printf "[Unit]\nRequires=basic.target\nAfter=basic.target\n" >$units/lab.target
# The switch of the host runs outside.
printf "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n" >$units/openvswitch-switch.service
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=lab.target
'

mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=/sys/fs/cgroup/$name
mkdir "$group"
(
    echo 0 >"$group/cgroup.procs"
    exec ip netns exec "$netns" unshare --cgroup --pid --mount --uts --ipc --fork --kill-child sh -c "$boot" sh "$switch" "$srv"
) || true
# Whatever was in it has ended with the system; the kernel may take a moment to see that.
tries=0
until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || [ ! -d "$group" ] || [ $tries -ge 500 ]; do
    tries=$((tries + 1))
    sleep 0.01
done
[ ! -d "$group" ]
