//! The forms in which metrics are written, and which of them a scraper wants.

use std::fmt;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType as OpenType;
use prometheus_client::registry::Registry;

/// What Prometheus puts behind the name of a counter, and OpenMetrics into its samples alone.
const COUNTER_END: &str = "_total";

/// A form of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The text format of Prometheus, which every scraper reads.
    Text,
    /// OpenMetrics 1.0, for those that name it.
    OpenMetrics,
}

impl Form {
    /// The form that an `Accept` header prefers; the text format where there is none, or both are as welcome.
    pub fn wanted(accept: &str) -> Self {
        let open = best(accept, |name, parameters| {
            // 0.0.1 was never different; what is newer than 1.0 is not written here.
            let version = parameters.iter().find_map(|(key, value)| (*key == "version").then_some(*value));
            name == "application/openmetrics-text" && version.is_none_or(|v| matches!(v, "1.0.0" | "0.0.1"))
        });
        let text = best(accept, |name, _| matches!(name, "text/plain" | "text/*" | "*/*"));
        if open > text { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes families in this form.
    ///
    /// # Errors
    /// When a family contradicts itself.
    pub fn write(self, families: Vec<MetricFamily>) -> Result<Vec<u8>, prometheus::Error> {
        match self {
            Self::Text => {
                let mut text = Vec::new();
                TextEncoder::new().encode(&families, &mut text)?;
                Ok(text)
            }
            Self::OpenMetrics => {
                let mut registry = Registry::default();
                registry.register_collector(Box::new(Families(families)));
                let mut text = String::new();
                prometheus_client::encoding::text::encode(&mut text, &registry)
                    .map_err(|error| prometheus::Error::Msg(error.to_string()))?;
                Ok(text.into_bytes())
            }
        }
    }
}

/// Whether an `Accept-Encoding` header takes gzip.
pub fn takes_gzip(accept_encoding: &str) -> bool {
    let named = |name: &str| name == "gzip" || name == "x-gzip";
    let all = elements(accept_encoding).any(|(name, ..)| named(name));
    best(accept_encoding, |name, _| named(name) || (!all && name == "*")) > 0.0
}

/// Compresses a body.
///
/// # Errors
/// None that the compressor makes by itself.
pub fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

type Parameters<'a> = Vec<(&'a str, &'a str)>;

/// The elements of a header that lists what is welcome (RFC 9110 12.4): name, parameters, weight.
fn elements(header: &str) -> impl Iterator<Item = (&str, Parameters<'_>, f64)> {
    header.split(',').map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let parameters: Parameters<'_> = parts.filter_map(|part| part.split_once('=')).collect();
        let weight = parameters.iter().find_map(|(key, value)| (*key == "q").then(|| value.parse().ok())?);
        (name, parameters, weight.unwrap_or(1.0))
    })
}

/// The greatest weight of the elements that fit; 0 for none.
fn best(header: &str, fits: impl Fn(&str, &Parameters<'_>) -> bool) -> f64 {
    let weights = elements(header).filter(|(name, parameters, _)| fits(name, parameters));
    weights.map(|(.., weight)| weight).fold(0.0, f64::max)
}

/// Families as the writer of OpenMetrics takes them.
#[derive(Debug)]
struct Families(Vec<MetricFamily>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| encode_family(family, &mut encoder))
    }
}

fn encode_family(family: &MetricFamily, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let full = family.name();
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => (full.strip_suffix(COUNTER_END).unwrap_or(full), OpenType::Counter),
        MetricType::HISTOGRAM => (full, OpenType::Histogram),
        _ => (full, OpenType::Gauge),
    };
    let mut samples = encoder.encode_descriptor(name, family.help(), None, kind)?;
    for metric in family.get_metric() {
        let labels: Vec<(&str, &str)> =
            metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
        let mut sample = samples.encode_family(&labels)?;
        match kind {
            OpenType::Counter => {
                sample.encode_counter::<NoLabelSet, _, f64>(&metric.get_counter().get_value(), None)?;
            }
            OpenType::Histogram => {
                let histogram = metric.get_histogram();
                // The writer adds up what we have added up already, and writes this bound as that of all.
                let mut below = 0;
                let mut buckets = Vec::new();
                for bucket in histogram.get_bucket() {
                    buckets.push((bucket.upper_bound(), bucket.cumulative_count() - below));
                    below = bucket.cumulative_count();
                }
                buckets.push((f64::INFINITY, histogram.get_sample_count() - below));
                let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
                sample.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
            _ => sample.encode_gauge(&metric.get_gauge().get_value())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_form_that_it_likes_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;\
                          q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let table = [
            ("", Form::Text),
            ("*/*", Form::Text),
            ("text/plain", Form::Text),
            ("application/openmetrics-text", Form::OpenMetrics),
            ("application/openmetrics-text; version=2.0.0, text/plain;q=0.1", Form::Text),
            ("application/openmetrics-text;version=1.0.0;q=0.2, text/plain;q=0.3", Form::Text),
            ("application/openmetrics-text;q=0", Form::Text),
            ("text/html, application/xhtml+xml, */*;q=0.8", Form::Text),
            (prometheus, Form::OpenMetrics),
        ];
        for (accept, form) in table {
            assert_eq!(Form::wanted(accept), form, "{accept}");
        }
    }

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for yes in ["gzip", "deflate, gzip;q=0.5", "*", "br, x-gzip"] {
            assert!(takes_gzip(yes), "{yes}");
        }
        for no in ["", "identity", "gzip;q=0", "gzip;q=0, *", "br"] {
            assert!(!takes_gzip(no), "{no}");
        }
    }
}
