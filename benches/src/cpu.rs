//! CPU time of the whole process as a criterion measurement.
//!
//! The budget of Beckon is CPU for each event, over all threads that work on it; wall time on a
//! shared machine says something else. The process' CPU clock is exact at every reading; the
//! scheduler's statistics in `/proc` move by whole ticks of 4 ms while a thread runs, which hides what
//! is shorter.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Measures CPU time of all threads of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime;

/// CPU time of all threads so far, of those that ended too.
///
/// # Panics
/// When the clock says a negative time.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().expect("CPU time is not negative")
}

/// Criterion by CPU time: 20 samples within three seconds.
#[must_use]
pub fn criterion() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
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
