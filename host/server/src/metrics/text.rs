//! The text exposition format of Prometheus (version 0.0.4).

use std::fmt::{Display, Write};

use super::value::{Histogram, Timer};

/// The content type of the exposition.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Builds an exposition family by family.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// Labels as pairs; values are escaped when written.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// Begins a family: all of its samples follow directly.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.text.push_str(name);
        if !labels.is_empty() {
            for (at, (label, text)) in labels.iter().enumerate() {
                let _ = write!(self.text, "{}{label}=\"", if at == 0 { '{' } else { ',' });
                for c in text.chars() {
                    match c {
                        '\\' => self.text.push_str("\\\\"),
                        '"' => self.text.push_str("\\\""),
                        '\n' => self.text.push_str("\\n"),
                        c => self.text.push(c),
                    }
                }
                self.text.push('"');
            }
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A family of one sample.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The samples of one histogram, in seconds.
    pub(super) fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let mut count = 0;
        for (bound, below) in histogram.cumulative() {
            let bound =
                bound.map_or_else(|| "+Inf".to_owned(), |micros| seconds(micros).to_string());
            self.sample(
                &bucket,
                &[labels, &[("le", bound.as_str())]].concat(),
                below,
            );
            count = below;
        }
        self.sample(&format!("{name}_sum"), labels, seconds(histogram.sum()));
        self.sample(&format!("{name}_count"), labels, count);
    }

    /// Count and sum of one timer, in seconds. Its maximum is a family of its own, `{name}_max`.
    pub(super) fn timer(&mut self, name: &str, labels: Labels<'_>, timer: &Timer) {
        self.sample(&format!("{name}_count"), labels, timer.count());
        self.sample(&format!("{name}_sum"), labels, seconds(timer.sum()));
    }
}

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_values_plain() {
        let mut text = Exposition::default();
        text.single("a", "gauge", "An A.", -3);
        text.sample("b", &[("x", "q\"\\\n"), ("y", "é")], 0.5);
        assert_eq!(
            text.finish(),
            "# HELP a An A.\n# TYPE a gauge\na -3\nb{x=\"q\\\"\\\\\\n\",y=\"é\"} 0.5\n"
        );
    }

    #[test]
    fn a_histogram_is_shown_in_seconds() {
        let histogram = Histogram::new(&[1_000, 2_500_000]);
        histogram.record(1_500);
        let mut text = Exposition::default();
        text.histogram("h", &[("c", "r")], &histogram);
        let expected = "h_bucket{c=\"r\",le=\"0.001\"} 0\nh_bucket{c=\"r\",le=\"2.5\"} 1\nh_bucket{c=\"r\",le=\"+Inf\"} 1\n\
                        h_sum{c=\"r\"} 0.0015\nh_count{c=\"r\"} 1\n";
        assert_eq!(text.finish(), expected);
    }
}
