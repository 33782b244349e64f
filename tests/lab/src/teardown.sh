# Takes a lab down: ends every process inside its namespaces, removes the namespaces and the directory.
# $1 is the lab's name, $2 its directory. Runs when standard input ends: because the owner says so by closing its end of
# the pipe, or because the owner is dead, however it died. Touches nothing that does not carry the lab's name.
trap '' HUP INT TERM QUIT
while read -r _; do :; done

lab=$1
dir=$2
case $lab in ovlab-*-*-*-*) ;; *) echo "not a lab: $lab" >&2; exit 2 ;; esac
case $dir in */"$lab") ;; *) echo "not the directory of $lab: $dir" >&2; exit 2 ;; esac

namespaces() {
    for path in /run/netns/"$lab"-*; do
        [ -e "$path" ] && echo "${path##*/}"
    done
}

processes() {
    for namespace in $(namespaces); do ip netns pids "$namespace"; done
    # Commands to a host's switch run outside, and wait for it to come back.
    for environment in $(grep -laF "OVS_RUNDIR=$dir/" /proc/[0-9]*/environ 2>/dev/null); do
        environment=${environment#/proc/}
        echo "${environment%/environ}"
    done
}

# Again until there are none: one may have started another in between.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    pids=$(processes)
    [ -z "$pids" ] && break
    kill -9 $pids 2>/dev/null
    sleep 0.01
done

status=0
for namespace in $(namespaces); do
    # Someone else may be clearing up the same leftovers: gone is gone.
    ip netns del "$namespace" 2>/dev/null || [ ! -e "/run/netns/$namespace" ] || status=1
done
rm -rf -- "$dir" || status=1
exit $status
