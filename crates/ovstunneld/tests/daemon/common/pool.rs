//! A pool of XenServer hosts, as far as `xe` shows it: a stand-in for `xe` that keeps networks and the pool's `other-config` as files,
//! and writes down how it was called. It must not be kinder than xapi: networks may have one name-label, a key that is there is not
//! added, and of what it does not know it says so and fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

const POOL: &str = "11111111-0000-4000-8000-000000000001";

/// Before it does anything it fails, hangs or waits where a file says so, by the command's name.
const XE: &str = r#"#!/bin/sh
cd DIR || exit 9
printf '%s\n' "$*" >>calls
command=$1; shift
[ -e "fails-$command" ] && { echo "Cannot reach the server" >&2; exit 1; }
[ -e "hangs-$command" ] && exec sleep 1000
if [ -e "waits-$command" ]; then
    : >"came-$command"
    while [ -e "waits-$command" ]; do sleep 0.01; done
fi
exec 9>lock; flock 9
minimal=; uuid=; label=; description=; param=; key=; pair=
for word; do
    case $word in
        --minimal) minimal=yes ;;
        uuid=*) uuid=${word#*=} ;;
        name-label=*) label=${word#*=} ;;
        name-description=*) description=${word#*=} ;;
        param-name=*) param=${word#*=} ;;
        param-key=*) key=${word#*=} ;;
        params=uuid) ;;
        *=*) pair=$word ;;
        *) echo "Syntax error: $word" >&2; exit 1 ;;
    esac
done
class=${command%%-*}s
object=$class/$uuid
of_object() { [ -n "$uuid" ] && [ -d "$object" ] || { echo "The uuid you supplied was invalid." >&2; exit 1; }; }
list() {
    found=
    for one in "$class"/*; do
        [ -d "$one" ] || continue
        [ "$class" = pools ] || [ "$(cat "$one/name-label")" = "$label" ] || continue
        found=$found${found:+,}${one#*/}
    done
    echo "$found"
}
case $command in
    network-list|pool-list) [ -n "$minimal" ] || exit 8; list ;;
    network-create)
        uuid=$(cat /proc/sys/kernel/random/uuid); n=0
        while grep -qx "xapi$n" networks/*/bridge 2>/dev/null; do n=$((n + 1)); done
        mkdir -p "networks/$uuid/other-config"
        printf '%s' "$label" >"networks/$uuid/name-label"
        printf '%s' "$description" >"networks/$uuid/name-description"
        echo "xapi$n" >"networks/$uuid/bridge"
        echo "$uuid" ;;
    network-param-get|pool-param-get)
        of_object
        [ "$param" = other-config ] || { cat "$object/$param"; exit; }
        printed=
        for file in "$object"/other-config/*; do
            [ -e "$file" ] && printed="$printed${printed:+; }${file##*/}: $(cat "$file")"
        done
        echo "$printed" ;;
    network-param-add|pool-param-add)
        of_object; key=${pair%%=*}; file=$object/other-config/$key
        [ "$param" = other-config ] || exit 8
        [ -e "$file" ] && { echo "There was already a key $key." >&2; exit 1; }
        printf '%s' "${pair#*=}" >"$file" ;;
    network-param-set)
        of_object; pair=${pair#other-config:}
        printf '%s' "${pair#*=}" >"$object/other-config/${pair%%=*}" ;;
    network-param-remove|pool-param-remove) of_object; rm -f "$object/other-config/$key" ;;
    *) echo "Unknown command: $command" >&2; exit 1 ;;
esac
"#;

/// The pool. Its daemons may be several.
pub struct Pool(TempDir);

impl Pool {
    pub fn new() -> Self {
        let pool = Pool(tempfile::tempdir().unwrap());
        fs::create_dir_all(pool.path("networks")).unwrap();
        fs::create_dir_all(pool.path("pools").join(POOL).join("other-config")).unwrap();
        fs::write(pool.path("script"), XE.replace("DIR", &pool.0.path().display().to_string())).unwrap();
        // A program that this process has open for writing is busy in each child that another test forks meanwhile.
        let copied = Command::new("install").args(["-m755", "script", "xe"]).current_dir(pool.0.path()).status();
        assert!(copied.unwrap().success());
        pool
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The section of a daemon's configuration.
    pub fn section(&self, timeout: &str) -> String {
        format!("[xapi]\nenabled = true\nxe = \"{}\"\ntimeout = \"{timeout}\"\n", self.path("xe").display())
    }

    /// Has each run of a command fail, hang or wait (`fails-network-create`, …) from now on.
    pub fn let_it(&self, what: &str) {
        fs::write(self.path(what), "").unwrap();
    }

    /// Ends that.
    pub fn no_more(&self, what: &str) {
        fs::remove_file(self.path(what)).unwrap();
    }

    /// Whether a run of a command waits, or has waited.
    pub fn came(&self, command: &str) -> bool {
        self.path(&format!("came-{command}")).exists()
    }

    /// A network that somebody else has made.
    pub fn add(&self, n: u32, label: &str, other_config: &[(&str, &str)]) -> String {
        let uuid = format!("22222222-0000-4000-8000-{n:012}");
        let folder = self.path("networks").join(&uuid);
        fs::create_dir_all(folder.join("other-config")).unwrap();
        fs::write(folder.join("name-label"), label).unwrap();
        fs::write(folder.join("bridge"), format!("xapi{n}\n")).unwrap();
        for (key, value) in other_config {
            fs::write(folder.join("other-config").join(key), value).unwrap();
        }
        uuid
    }

    /// The UUIDs of all networks.
    pub fn networks(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("networks")).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    /// A parameter of a network.
    pub fn param(&self, network: &str, name: &str) -> String {
        fs::read_to_string(self.path("networks").join(network).join(name)).unwrap().trim().to_owned()
    }

    /// A network's `other-config`.
    pub fn other_config(&self, network: &str) -> BTreeMap<String, String> {
        map(self.path("networks").join(network).join("other-config"))
    }

    /// That of the pool.
    pub fn of_pool(&self) -> BTreeMap<String, String> {
        map(self.path("pools").join(POOL).join("other-config"))
    }

    /// Writes a pair into that.
    pub fn write_of_pool(&self, key: &str, value: &str) {
        fs::write(self.path("pools").join(POOL).join("other-config").join(key), value).unwrap();
    }

    /// How `xe` was called since this was asked last; locks without what makes each unlike any other.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        fs::write(self.path("calls"), "").unwrap();
        text.lines().map(without_ticket).collect()
    }
}

fn map(folder: PathBuf) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let pair = |file: fs::DirEntry| {
        (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap_or_default())
    };
    files.map(pair).collect()
}

/// `…lock-1=<ticket>`, whatever ticket it was.
fn without_ticket(call: &str) -> String {
    match call.split_once("lock-").and_then(|(before, rest)| Some((before, rest.split_once('=')?.0))) {
        Some((before, number)) => format!("{before}lock-{number}=<ticket>"),
        None => call.to_owned(),
    }
}

/// The calls that change something.
pub fn changing(calls: Vec<String>) -> Vec<String> {
    calls.into_iter().filter(|call| !call.contains("-list ") && !call.contains("-get ")).collect()
}
