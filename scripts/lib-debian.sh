# shellcheck shell=bash
# Fetches Debian packages of other suites than the machine's own and unpacks them into a cache, without installing them: other
# versions of Open vSwitch, kernels.
#
# To be sourced by bash, after lib.sh. The mirror is the machine's own, apt checks every file, and apt's lists and its status here
# are our own: what the machine has installed, and from where it will install, stays as it is.

# Where what was fetched stays. Shared by all clones of this user; to be deleted when it should be fetched anew.
cache_dir=${OVSTUNNEL_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ovstunnel}

# The mirror of Debian that the machine itself uses.
mirror() {
    local site
    # Of an Ubuntu machine Debian's own is the only one that can be told.
    site=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" && $1 !~ /security/ { print $1; exit }')
    echo "${site:-http://deb.debian.org/debian/}"
}

# Makes `suite_apt` the options with which apt-get sees only the suite $1, with its lists below the folder $2.
# $3: the package status that it goes by, in place of that of a machine on which nothing is installed.
use_suite() {
    local suite=$1 dir=$2 status=${3:-$2/status}
    mkdir -p -- "$dir/lists/partial" "$dir/cache/archives/partial"
    : >"$dir/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $suite main" >"$dir/sources.list"
    suite_apt=(
        -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o "Dir::State::lists=$dir/lists" -o "Dir::State::status=$status" -o "Dir::Cache=$dir/cache"
        -o APT::Architecture=amd64 -o Acquire::Languages=none -o APT::Sandbox::User=root
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::IndexTargets::deb::CNF::DefaultEnabled=false
    )
    apt-get "${suite_apt[@]}" -qq update >&2 || cannot "apt-get could not read the suite $suite; its words are above"
}

# Downloads the package $1 of the suite that `use_suite` has chosen, and those of its dependencies whose names match the extended
# regular expression $2, into the folder $3.
download() {
    local package=$1 pattern=$2 dir=$3 wanted
    mapfile -t wanted < <(apt-get "${suite_apt[@]}" -qq --no-install-recommends --print-uris install "$package" |
        awk '{ sub(/_.*/, "", $2); print $2 }' | grep -Ex -- "$pattern")
    [ ${#wanted[@]} -gt 0 ] || cannot "the package $package of $(cat "$dir/sources.list") has nothing that matches $pattern"
    (cd "$dir" && apt-get "${suite_apt[@]}" -qq download "${wanted[@]}") >&2 ||
        cannot "apt-get could not download ${wanted[*]}; its words are above"
}

# Runs the function $2 with an empty folder and the rest of the words, and puts that folder into the cache as $1: whole or not at
# all, and only when it is not there.
cached() {
    local name=$1 make=$2 made
    shift 2
    [ ! -d "$cache_dir/$name" ] || return 0
    echo "fetching $name into $cache_dir" >&2
    mkdir -p -- "$cache_dir/${name%/*}"
    made=$(mktemp -d "$cache_dir/${name%/*}/.new-XXXXXX")
    # Scripts of this folder run with `set -e`, which ends them in the middle.
    # shellcheck disable=SC2064  # the folder's name as it is now
    trap "rm -rf -- '$made'" EXIT
    chmod 755 "$made"
    "$make" "$made" "$cache_dir/$name" "$@"
    # Another clone may have been faster.
    mv -T -- "$made" "$cache_dir/$name" 2>/dev/null || [ -d "$cache_dir/$name" ]
    rm -rf -- "$made"
    trap - EXIT
}

# Open vSwitch of the suite $3 in the folder $1, which will be $2: `bin` with the programs, and the database's schema.
make_switch() {
    local made=$1 place=$2 suite=$3 work=$1/work program deb loader name libraries
    mkdir -- "$work" "$made/bin" "$made/lib"
    use_suite "$suite" "$work"
    # Programs and libraries; no Python, no service manager.
    download openvswitch-switch 'openvswitch-(common|switch)|lib[a-z].*' "$work"
    for deb in "$work"/*.deb; do
        # Where /usr is not merged yet there is a /lib beside it.
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --warning=no-unknown-keyword --exclude='./usr/share/doc' ||
            cannot "cannot unpack $deb"
    done
    # All libraries in one folder. bullseye calls its own `libopenvswitch-2.15.so.0.0.0`, and looks for `libopenvswitch-2.15.so.0`.
    find "$work" -path '*/lib64/*' -prune -o -name '*.so*' \( -type f -o -type l \) -exec cp -d -t "$made/lib" -- {} +
    for name in "$made"/lib/lib{openvswitch,ofproto,ovsdb,sflow,vtep,ovn}*.so.0.0.0; do
        [ ! -e "$name" ] || ln -sf "${name##*/}" "${name%.0.0}"
    done
    loader=$(basename "$(find "$made/lib" -name 'ld-linux-x86-64.so.2' | head -n 1)")
    [ -n "$loader" ] || cannot "the C library of $suite has no loader"
    libraries=$place/lib
    mkdir -- "$made/programs"
    for program in ovsdb-tool ovsdb-server ovsdb-client ovs-vswitchd ovs-vsctl ovs-ofctl ovs-appctl ovs-dpctl; do
        name=$(find "$work/usr" -type f -perm -u+x \
            \( -name "$program" -o -name "$program.*" \) | sort | head -n 1)
        [ -n "$name" ] || cannot "Open vSwitch of $suite has no $program"
        cp -- "$name" "$made/programs/$program"
        printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' \
            "$libraries/$loader" "$libraries" "$place/programs/$program" >"$made/bin/$program"
        chmod 755 "$made/bin/$program"
    done
    cp -- "$work/usr/share/openvswitch/vswitch.ovsschema" "$made/"
    dpkg-deb --field "$(echo "$work"/openvswitch-switch_*.deb)" Version >"$made/package-version"
    rm -rf -- "$work"
}

# The kernel of the suite $3 in the folder $1: `vmlinuz`, and its modules as `modprobe -d` finds them. Without the drivers of devices
# that a virtual machine has not.
make_kernel() {
    local made=$1 suite=$3 work=$1/work deb version
    mkdir -- "$work"
    use_suite "$suite" "$work"
    download linux-image-amd64 'linux-image-[0-9].*-amd64' "$work"
    deb=$(echo "$work"/linux-image-*.deb)
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$made" --exclude='*/kernel/sound' --exclude='./usr/share' \
        --exclude='*/drivers/gpu' --exclude='*/drivers/media' --exclude='*/drivers/staging' --exclude='*/drivers/scsi' \
        --exclude='*/drivers/net/wireless' --exclude='*/drivers/net/ethernet' --exclude='*/drivers/infiniband' \
        --exclude='*/drivers/iio' --exclude='*/drivers/hwmon' --exclude='*/drivers/usb' || cannot "cannot unpack $deb"
    # Where /usr is merged they lie below that.
    [ -d "$made/lib" ] || mv -- "$made/usr/lib" "$made/lib"
    version=$(basename "$made"/lib/modules/*)
    depmod -b "$made" "$version" || cannot "depmod cannot read the modules of $version"
    mv -- "$made/boot/vmlinuz-$version" "$made/vmlinuz"
    echo "$version" >"$made/version"
    rm -rf -- "$work" "$made/boot" "$made/usr"
}

# A busybox that needs no library, as `busybox` in the folder $1.
make_busybox() {
    local made=$1 suite=$3 work=$1/work
    mkdir -- "$work"
    use_suite "$suite" "$work"
    download busybox-static 'busybox-static' "$work"
    dpkg-deb -x "$work"/busybox-static_*.deb "$work/root" || cannot "cannot unpack busybox-static"
    find "$work/root" -type f -name busybox -exec mv -- {} "$made/busybox" \;
    rm -rf -- "$work"
}

# The kernel of the version $1, as Debian has it.
fetch_kernel() {
    case $1 in
        5.10) cached kernels/5.10 make_kernel bullseye ;;
        6.1) cached kernels/6.1 make_kernel bookworm ;;
        6.12) cached kernels/6.12 make_kernel trixie ;;
        *) cannot "there is no kernel $1; there are 5.10, 6.1 and 6.12" ;;
    esac
}

# The versions of Open vSwitch that the tests are run on beside the machine's own.
fetch_switches() {
    cached switches/2.15 make_switch bullseye
    cached switches/3.5 make_switch trixie
    # Whatever it is today: 4.0, or newer.
    cached switches/sid make_switch sid
}

# qemu, which is installed. That of bookworm would take away the tools of a newer one, so there it comes from the backports.
install_qemu() {
    command -v qemu-system-x86_64 >/dev/null && return
    local dir options=() codename
    [ "$(id -u)" = 0 ] || cannot "qemu-system-x86 is missing, and only root can install it"
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    dir=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder's name as it is now
    trap "rm -rf -- '$dir'" EXIT
    if [ "$codename" = bookworm ]; then
        mkdir -p -- "$dir/lists/partial"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) bookworm-backports main" >"$dir/sources.list"
        options=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o "Dir::State::lists=$dir/lists" -t bookworm-backports)
    fi
    echo "installing qemu-system-x86" >&2
    {
        apt-get "${options[@]}" -qq update && DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" -q -y --no-remove \
            --no-install-recommends install qemu-system-x86
    } >&2 || cannot "apt-get could not install qemu-system-x86; its words are above"
    rm -rf -- "$dir"
    trap - EXIT
}
