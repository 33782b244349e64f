//! One connection to a bridge's management socket.
//!
//! What it does: greets, sends messages with a barrier behind them, and gathers what comes back until that is answered. What it must not do:
//! believe anything before the barrier's answer, or send anything again.

use std::io;
use std::path::Path;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::wire::{Bytes, FLOW_MONITOR, FLOWS, Message, Reader, VERSION, encode_message, kind};
use super::{decode, errors};
use crate::CommitError;

/// A bundle is applied as one, and in order.
const ATOMIC_ORDERED: u16 = 1 | 2;
const OPEN: u16 = 0;
const COMMIT: u16 = 4;
/// Each connection has one bundle at a time.
const BUNDLE: u32 = 1;

/// More of a multipart answer comes.
const MORE: u16 = 1;

/// A connection that has greeted.
#[derive(Debug)]
pub(super) struct Connection {
    frames: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    write: OwnedWriteHalf,
    /// Answers to the switch's signs of life that are not sent yet.
    unsent: Vec<u8>,
    xid: u32,
}

/// What came back before the barrier's answer.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The first error: its numbers, and in words.
    pub error: Option<((u16, u16), String)>,
    /// Parts of a multipart answer.
    pub parts: Vec<Vec<u8>>,
    /// What a flow monitor has told meanwhile.
    pub updates: Vec<Vec<u8>>,
}

impl Connection {
    /// Connects and greets.
    pub async fn open(socket: &Path) -> Result<Self, CommitError> {
        let named = |error: io::Error| CommitError::Unavailable(format!("{}: {error}", socket.display()));
        let (read, write) = UnixStream::connect(socket).await.map_err(named)?.into_split();
        // The length stands behind the version and the kind, and is that of the whole message.
        let mut codec = LengthDelimitedCodec::builder();
        codec.length_field_offset(2).length_field_length(2).num_skip(0);
        let mut connection = Connection { frames: codec.new_read(read), write, unsent: vec![], xid: 0 };
        connection.exchange_hello().await.map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => CommitError::Refused(error.to_string()),
            _ => named(error),
        })?;
        Ok(connection)
    }

    async fn exchange_hello(&mut self) -> io::Result<()> {
        let mut versions = Bytes::default();
        versions.u16(1).u16(8).u32(1 << VERSION);
        let hello = self.build_message(kind::HELLO, &versions.0)?;
        self.write.write_all(&hello).await?;
        let frame = self.frames.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
        let greeting = Message::parse_frame(&frame).ok_or(io::ErrorKind::InvalidData)?;
        match greeting.kind {
            kind::HELLO if offers_openflow14(&greeting) => Ok(()),
            kind::HELLO => {
                let words = "the bridge does not speak OpenFlow 1.4: its column `protocols` leaves it out";
                Err(io::Error::new(io::ErrorKind::Unsupported, words))
            }
            kind::ERROR => Err(io::Error::new(io::ErrorKind::Unsupported, errors::error_message(greeting.body))),
            other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("greets by a message of kind {other}"))),
        }
    }

    /// Waits for what a flow monitor tells; nothing is lost where it is not waited for any longer.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn next_update(&mut self) -> io::Result<Vec<u8>> {
        loop {
            self.answer_echoes().await?;
            let frame = self.frames.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
            let message = Message::parse_frame(&frame).ok_or(io::ErrorKind::InvalidData)?;
            let mut answers = Answers::default();
            if let Some(answer) = answers.take_message(&message) {
                self.unsent.extend(answer);
            }
            if let Some(body) = answers.updates.pop() {
                return Ok(body);
            }
        }
    }

    /// Sends what was asked for meanwhile; what is not taken at once stays.
    async fn answer_echoes(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            self.write.writable().await?;
            match self.write.try_write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn build_message(&mut self, kind: u8, body: &[u8]) -> io::Result<Vec<u8>> {
        self.xid = self.xid.wrapping_add(1);
        encode_message(kind, self.xid, body)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"))
    }

    /// Changes of flows as one: all of them or none. Behind them a question is asked, by the body of its message.
    pub async fn send_bundle(&mut self, bodies: &[Vec<u8>], then: &[u8]) -> io::Result<Answers> {
        let control = |what: u16| {
            let mut body = Bytes::default();
            body.u32(BUNDLE).u16(what).u16(ATOMIC_ORDERED);
            body.0
        };
        let mut sent = self.build_message(kind::BUNDLE_CONTROL, &control(OPEN))?;
        for flow_mod in bodies {
            // The message within has the number of the one around it.
            let inner = encode_message(kind::FLOW_MOD, self.xid.wrapping_add(1), flow_mod)
                .ok_or(io::ErrorKind::InvalidInput)?;
            let mut body = Bytes::default();
            body.u32(BUNDLE).u16(0).u16(ATOMIC_ORDERED).bytes(&inner);
            sent.extend(self.build_message(kind::BUNDLE_ADD, &body.0)?);
        }
        sent.extend(self.build_message(kind::BUNDLE_CONTROL, &control(COMMIT))?);
        sent.extend(self.build_message(kind::BARRIER_REQUEST, &[])?);
        sent.extend(self.build_message(kind::MULTIPART_REQUEST, then)?);
        self.exchange_messages(sent).await
    }

    /// One message.
    pub async fn send_request(&mut self, kind: u8, body: &[u8]) -> io::Result<Answers> {
        let sent = self.build_message(kind, body)?;
        self.exchange_messages(sent).await
    }

    /// Sends messages and a barrier, and reads what comes back meanwhile: a switch whose answers nobody takes reads no more.
    async fn exchange_messages(&mut self, mut sent: Vec<u8>) -> io::Result<Answers> {
        sent.splice(0..0, std::mem::take(&mut self.unsent));
        sent.extend(self.build_message(kind::BARRIER_REQUEST, &[])?);
        let barrier = self.xid;
        let Connection { frames, write, .. } = self;
        let (echoes, mut echoed) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
        let writing = async {
            write.write_all(&sent).await?;
            while let Some(answer) = echoed.recv().await {
                write.write_all(&answer).await?;
            }
            io::Result::Ok(())
        };
        let reading = async {
            let mut answers = Answers::default();
            loop {
                let frame = frames.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
                let message = Message::parse_frame(&frame).ok_or(io::ErrorKind::InvalidData)?;
                if message.kind == kind::BARRIER_REPLY && message.xid == barrier {
                    break;
                }
                if let Some(answer) = answers.take_message(&message) {
                    let _ = echoes.send(answer);
                }
            }
            drop(echoes);
            io::Result::Ok(answers)
        };
        tokio::try_join!(reading, writing).map(|(answers, ())| answers)
    }
}

impl Answers {
    /// Takes a message in; gives the answer where one is due.
    fn take_message(&mut self, message: &Message<'_>) -> Option<Vec<u8>> {
        match message.kind {
            kind::ERROR => {
                let numbers = errors::error_numbers(message.body).unwrap_or_default();
                self.error.get_or_insert_with(|| (numbers, errors::error_message(message.body)));
            }
            kind::MULTIPART_REPLY if message.body.starts_with(&FLOW_MONITOR.to_be_bytes()) => {
                self.updates.push(message.body.to_vec());
            }
            kind::MULTIPART_REPLY => self.parts.push(message.body.to_vec()),
            kind::ECHO_REQUEST => return super::wire::encode_message(kind::ECHO_REPLY, message.xid, message.body),
            _ => {}
        }
        None
    }

    /// Whether it is this error that came first.
    pub fn failed_by(&self, numbers: (u16, u16)) -> bool {
        self.error.as_ref().is_some_and(|(error, _)| *error == numbers)
    }

    /// The flows of a multipart answer; nothing where it is not one, or not whole.
    pub fn decode_flows(&self) -> Option<Vec<Result<ovstunnel_plan::Flow, ovstunnel_plan::Cookie>>> {
        let (mut found, mut more) = (Vec::new(), true);
        for part in &self.parts {
            let mut reader = Reader(part);
            let (which, flags) = (reader.u16()?, reader.u16()?);
            reader.take_bytes(4)?;
            (which == FLOWS && more).then_some(())?;
            more = flags & MORE != 0;
            found.extend(decode::decode_flows(reader.0)?);
        }
        (!more).then_some(found)
    }
}

/// Whether a greeting offers OpenFlow 1.4. One that has no list of versions offers all up to its own.
fn offers_openflow14(greeting: &Message<'_>) -> bool {
    let mut elements = Reader(greeting.body);
    let list = (|| {
        (elements.u16()? == 1).then_some(())?;
        elements.u16()?;
        elements.u32()
    })();
    list.map_or(greeting.version >= VERSION, |versions| versions & (1 << VERSION) != 0)
}
