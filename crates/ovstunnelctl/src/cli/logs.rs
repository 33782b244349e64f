//! `logs`: the end of the daemon's log, and what is added to it.
//!
//! What it must not do: read the log of another host. It is a file of this one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::Logs;
use super::show::printable;
use super::{Failure, Report};
use crate::client::{Client, Endpoint};

/// So much of the end is looked at for the last lines, in bytes.
const END: u64 = 16 << 20;

/// Between two looks for new lines.
const INTERVAL: Duration = Duration::from_millis(200);

/// Where the log is unless the configuration says otherwise, for when the daemon does not answer.
const DEFAULT: &str = "/var/log/ovstunnel.log";

pub(super) async fn run(client: &Client, endpoint: &Endpoint, args: &Logs) -> Result<Report, Failure> {
    if let Endpoint::Https { .. } = endpoint {
        return Err(Failure::Usage("logs are read on the host itself: leave --url and --host out".to_owned()));
    }
    let file = match &args.log {
        Some(file) => file.clone(),
        None => client.log().await.map_or_else(|_| PathBuf::from(DEFAULT), |log| log.file.into()),
    };
    let failed = |source| Failure::File { action: "read", path: file.clone(), source };
    match follow_file(&file, args).await {
        Ok(()) => Ok(Report::from_text(String::new())),
        Err(Trouble::Reading(error)) => Err(failed(error)),
        // The reader went away (`| head`).
        Err(Trouble::Writing(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Report::from_text(String::new()))
        }
        Err(Trouble::Writing(error)) => Err(Failure::Output(error)),
    }
}

enum Trouble {
    Reading(io::Error),
    Writing(io::Error),
}

async fn follow_file(path: &Path, args: &Logs) -> Result<(), Trouble> {
    let mut file = BufReader::new(File::open(path).map_err(Trouble::Reading)?);
    write_lines(&last_lines(&mut file, args.lines).map_err(Trouble::Reading)?)?;
    if !args.follow {
        return Ok(());
    }
    let mut begun = Vec::new();
    loop {
        match file.read_until(b'\n', &mut begun).map_err(Trouble::Reading)? {
            _ if begun.ends_with(b"\n") => write_lines(&[std::mem::take(&mut begun)])?,
            _ => match successor_file(path, &mut file) {
                Some(new) => {
                    // What came before it was renamed.
                    file.read_to_end(&mut begun).map_err(Trouble::Reading)?;
                    let rest: Vec<Vec<u8>> = begun.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                    write_lines(&rest)?;
                    (file, begun) = (BufReader::new(new), Vec::new());
                }
                None => tokio::time::sleep(INTERVAL).await,
            },
        }
    }
}

/// The last lines of a file; it is left at its end.
fn last_lines(file: &mut BufReader<File>, count: usize) -> io::Result<Vec<Vec<u8>>> {
    let length = file.get_ref().metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut bytes = Vec::new();
    file.by_ref().take(END).read_to_end(&mut bytes)?;
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    Ok(lines.iter().skip(lines.len().saturating_sub(count)).map(|line| line.to_vec()).collect())
}

/// The file that has taken this one's place, where that was renamed or cut.
fn successor_file(path: &Path, file: &mut BufReader<File>) -> Option<File> {
    let new = File::open(path).ok()?;
    let (old, now) = (file.get_ref().metadata().ok()?, new.metadata().ok()?);
    let position = file.stream_position().ok()?;
    (old.ino() != now.ino() || now.len() < position).then_some(new)
}

fn write_lines(lines: &[Vec<u8>]) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    let each = lines.iter().try_for_each(|line| {
        let line = String::from_utf8_lossy(line);
        writeln!(out, "{}", printable(line.trim_end_matches('\n')))
    });
    each.and_then(|()| out.flush()).map_err(Trouble::Writing)
}
