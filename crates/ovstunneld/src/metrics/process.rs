//! What `/proc` tells of this process, under the names that Prometheus's client libraries give it.
//!
//! What it does: reads it anew at each question. What it must not do: fail the question; what cannot be read is left out.

use std::fmt;

use procfs::process::{LimitValue, Process};
use procfs::{CurrentSI as _, KernelStats, ProcError};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The numbers of this process.
#[derive(Debug)]
pub(super) struct ProcessCollector;

/// One reading.
struct Reading {
    /// Seconds of processor time, user and system.
    cpu: f64,
    /// Seconds from 1970 to the start.
    start: f64,
    resident: u64,
    virtual_memory: u64,
    threads: i64,
    open_fds: u64,
    /// None where there is no limit.
    max_fds: Option<u64>,
}

impl Reading {
    fn read_process() -> Result<Self, ProcError> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are more than a million years")]
        let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let boot = KernelStats::current()?.btime as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        };
        Ok(Reading {
            cpu: seconds(stat.utime.saturating_add(stat.stime)),
            start: boot + seconds(stat.starttime),
            resident: stat.rss.saturating_mul(procfs::page_size()),
            virtual_memory: stat.vsize,
            threads: stat.num_threads,
            open_fds: process.fd_count()? as u64,
            max_fds,
        })
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Ok(reading) = Reading::read_process() else { return Ok(()) };
        let mut tell = |name: &str, help: &str, unit: Option<Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
        };
        let (seconds, bytes) = (|| Some(Unit::Seconds), || Some(Unit::Bytes));
        let gauge = |n: u64| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
        tell("process_start_time", "Start of the daemon since 1970.", seconds(), &ConstGauge::new(reading.start))?;
        tell("process_cpu", "Processor time of the daemon.", seconds(), &ConstCounter::new(reading.cpu))?;
        tell("process_resident_memory", "Resident memory of the daemon.", bytes(), &gauge(reading.resident))?;
        tell("process_virtual_memory", "Virtual memory of the daemon.", bytes(), &gauge(reading.virtual_memory))?;
        tell("process_threads", "Threads of the daemon.", None, &ConstGauge::new(reading.threads))?;
        tell("process_open_fds", "Open file descriptors of the daemon.", None, &gauge(reading.open_fds))?;
        reading.max_fds.map_or(Ok(()), |most| {
            tell("process_max_fds", "Most file descriptors that the daemon may open.", None, &gauge(most))
        })
    }
}
