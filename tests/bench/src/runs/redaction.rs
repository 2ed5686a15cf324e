//! How fast log text is cleaned, beside what else is done to it: in processor time, so that what
//! else the machine does counts less.

use std::{io::Write, time::Duration};

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};
use nix::time::{ClockId, clock_gettime};
use terminal_redact::Redactor;

use super::{Bench, percentile};
use crate::figures::{Figure, Target};

/// What is wanted on one core, in MB per second.
const WANTED: f64 = 300.0;

/// Text without and with something to mask.
pub(super) fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let (rounds, megabytes) = (bench.plan.rounds, bench.plan.log_megabytes);
    let text = log_text(megabytes << 20, false);
    let json = log_text(megabytes << 20, true);
    let planted = text.replace("approved", "of 4111 1111 1111 1111 pin=1234 approved");
    let gzip = rate(&text, rounds, |text| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text)?;
        Ok(encoder.finish()?)
    })?;
    let copy = rate(&text, rounds, |text| {
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        Ok(lines.fold(Vec::with_capacity(text.len()), |mut copy, line| {
            copy.extend_from_slice(line);
            copy
        }))
    })?;
    let target = Target::AtLeast(WANTED);
    for (name, text, target) in [
        ("masking in log lines, floor is gzip", &text, target),
        ("– in lines of JSON", &json, target),
        ("– where every third line holds a card number and a PIN", &planted, Target::None),
    ] {
        let masked = rate(text, rounds, redact)?;
        bench.add(Figure::new(name, masked, "MB/s").floor(gzip).target(target));
    }
    bench.add(Figure::new("– copying line by line", copy, "MB/s"));
    Ok(())
}

fn redact(text: &[u8]) -> Result<Vec<u8>> {
    let mut redactor = Redactor::new();
    let mut output = Vec::with_capacity(text.len());
    redactor.push(text, &mut output)?;
    redactor.finish(&mut output);
    Ok(output)
}

/// Megabytes per second of processor time, the median of some rounds.
fn rate(text: &str, rounds: usize, work: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begin = processor_time()?;
        std::hint::black_box(work(std::hint::black_box(text.as_bytes()))?);
        times.push(processor_time()?.saturating_sub(begin));
    }
    let megabytes = f64::from(u32::try_from(text.len() / 1000)?) / 1e3;
    Ok(megabytes / percentile(&mut times, 50).as_secs_f64())
}

fn processor_time() -> Result<Duration> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?))
}

/// Lines as terminals write them, about so many bytes; the same in every run.
fn log_text(bytes: usize, is_json: bool) -> String {
    const MESSAGES: [(&str, &str); 6] = [
        ("payment", "payment approved in # ms"),
        ("network", "dhcp lease renewed for # s"),
        ("agent", "status sent, battery # percent"),
        ("payment", "host did not answer within # ms, payment reversed"),
        ("agent", "operation b2a60a2f-7a35-4a87-9d0b-51a0e6a6f5c1 approved after # ms"),
        ("kernel", "mmc0: # sectors written"),
    ];
    let mut text = String::with_capacity(bytes + 200);
    let mut state = 1_u32;
    for (component, message) in MESSAGES.iter().cycle() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (second, ms) = (state >> 8 & 31, state >> 16 & 511);
        let time = format!("2026-06-29T09:{second:02}:{second:02}.{ms:03}Z");
        let message = message.replace('#', &(state >> 20).to_string());
        text += &if is_json {
            format!(
                "{{\"time\":\"{time}\",\"level\":\"info\",\"component\":\"{component}\",\
                 \"message\":\"{message}\"}}\n"
            )
        } else {
            format!("{time} INFO {component} {message}\n")
        };
        if text.len() >= bytes {
            break;
        }
    }
    text
}
