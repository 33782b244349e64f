//! One HTTP request over the daemon's Unix socket, by hand. Must not take longer than its deadline, whatever the daemon does.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::event::VifEvent;

/// For everything together: a daemon that works answers in some 10 ms, and udev handles no other event of the device
/// meanwhile.
const DEADLINE: Duration = Duration::from_secs(2);

/// Bytes of an answer that are enough to know it.
const HEAD: &[u8] = b"HTTP/1.1 ";

/// Tells the daemon; any answer of its is good, for then it knows. Says why there was none.
pub fn report_event(socket: &OsStr, event: &VifEvent) -> Result<(), String> {
    let (request, socket) = (http_request(event), socket.to_owned());
    let (done, answer) = mpsc::channel();
    // In a thread, since connecting to a Unix socket can block, and that has no deadline of its own. It ends with us.
    let asking = thread::Builder::new().spawn(move || done.send(send_request(&socket, &request)));
    asking.map_err(|error| format!("no thread: {error}"))?;
    match answer.recv_timeout(DEADLINE) {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it did not answer within {DEADLINE:?}")),
    }
}

fn http_request(VifEvent { came, vif }: &VifEvent) -> String {
    let method = if *came { "PUT" } else { "DELETE" };
    format!("{method} /v1/vifs/{vif} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

fn send_request(socket: &OsString, request: &str) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(request.as_bytes())?;
    let mut head = [0; HEAD.len()];
    stream.read_exact(&mut head)?;
    match head == HEAD {
        true => Ok(()),
        false => Err(std::io::Error::other("it does not speak HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    fn socket() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        (dir, path)
    }

    fn event() -> VifEvent {
        VifEvent { came: true, vif: "vif1.0".into() }
    }

    #[test]
    fn any_answer_is_good() {
        let (_dir, path) = socket();
        let listener = UnixListener::bind(&path).unwrap();
        let daemon = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            (&stream).write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
            head
        });
        assert_eq!(report_event(path.as_os_str(), &event()), Ok(()));
        let head = daemon.join().unwrap();
        assert_eq!(head, ["PUT /v1/vifs/vif1.0 HTTP/1.1", "host: localhost", "connection: close", "content-length: 0"]);
    }

    #[test]
    fn no_daemon_a_mute_one_and_a_stranger_are_told_apart_in_time() {
        let (_dir, path) = socket();
        let told = || report_event(path.as_os_str(), &event()).unwrap_err();
        assert!(told().contains("No such file"), "{}", told());
        let listener = UnixListener::bind(&path).unwrap();
        let start = Instant::now();
        assert_eq!(told(), "it did not answer within 2s");
        assert!(start.elapsed() < DEADLINE * 3, "{:?}", start.elapsed());
        thread::spawn(move || {
            // The first one is the connection from before.
            for stream in listener.incoming().map(Result::unwrap) {
                let _ = BufReader::new(&stream)
                    .lines()
                    .take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty()))
                    .count();
                let _ = (&stream).write_all(b"220 mail.example ESMTP\r\n");
            }
        });
        assert_eq!(told(), "it does not speak HTTP");
    }
}
