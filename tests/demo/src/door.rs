//! A way from this machine to the manager's page: the manager is in a network namespace, and a browser is not.
//!
//! What it must not do: know what passes by it, or let in anybody but this machine.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use ovstunnel_e2e::Cloud;

/// The manager's port, there and, where it is free, here.
const PORT: u16 = 8444;

/// Opens it, for as long as this process is there; where.
pub fn open(cloud: Arc<Cloud>) -> Result<SocketAddr> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = at(PORT).or_else(|_| at(0)).context("a port of this machine for the page")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for browser in listener.incoming().flatten() {
            let cloud = Arc::clone(&cloud);
            thread::spawn(move || {
                // What cannot be reached closes the browser's connection, which says so.
                if let Err(error) = pass(&cloud, browser) {
                    eprintln!("demo: the page's manager cannot be reached: {error:#}");
                }
            });
        }
    });
    Ok(address)
}

fn pass(cloud: &Cloud, browser: TcpStream) -> Result<()> {
    let fabric = cloud.lab().fabric();
    let manager = fabric.enter(|| Ok(TcpStream::connect((fabric.ip(), PORT))?))?;
    let (from, to) = (browser.try_clone()?, manager.try_clone()?);
    let there = thread::spawn(move || copy(from, to));
    copy(manager, browser);
    let _ = there.join();
    Ok(())
}

/// Until one side ends it; that is no failure.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
