//! CPU time of the whole process as a criterion measurement.
//!
//! The budget of Beckon is CPU for each event, over all threads that work on it; wall time on a
//! shared machine says something else. The kernel's scheduler statistics give nanoseconds for each
//! living thread (Linux: `/proc/self/task/*/schedstat`, first figure: time on the CPU); a thread that
//! ends takes its figure with it, so what is measured has to keep its threads.

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use std::time::Duration;

/// Measures CPU time of all threads of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime;

/// CPU time of all living threads so far.
///
/// # Panics
/// Where the kernel does not say it.
#[must_use]
pub fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has /proc/self/task");
    let nanos = tasks.filter_map(|task| {
        // A thread may end between the listing and the reading.
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu_time().saturating_sub(start)
    }

    fn add(&self, left: &Duration, right: &Duration) -> Duration {
        *left + *right
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &NanosPerElement
    }
}

/// Nanoseconds of CPU, for each element where a throughput is set.
struct NanosPerElement;

impl ValueFormatter for NanosPerElement {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        _typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (Throughput::Elements(elements) | Throughput::Bytes(elements)) = throughput else {
            return "ns";
        };
        for value in values {
            *value /= *elements as f64;
        }
        "ns CPU/event"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "ns"
    }
}
