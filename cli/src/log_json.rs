//! Log lines as JSON, one object a line: what a line says, and what the spans around it say of its call.

use std::fmt::{self, Debug};

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// The format of a line, and of the fields of a span.
pub(crate) struct Json;

/// Fields as they were recorded.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }
}

impl<'writer> FormatFields<'writer> for Json {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut recorded = Fields::default();
        fields.record(&mut recorded);
        write!(writer, "{}", Value::Object(recorded.0))
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> FormatEvent<S, Json> for Json {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Json>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut recorded = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|spans| spans.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<Json>>().map(|fields| serde_json::from_str(fields));
            if let Some(Ok(Value::Object(fields))) = fields {
                recorded.0.extend(fields);
            }
        }
        event.record(&mut recorded);
        let (metadata, time) = (event.metadata(), OffsetDateTime::now_utc().format(&Rfc3339));
        recorded.0.insert("time".to_owned(), time.unwrap_or_default().into());
        recorded.0.insert("level".to_owned(), metadata.level().as_str().into());
        recorded.0.insert("target".to_owned(), metadata.target().into());
        writeln!(writer, "{}", Value::Object(recorded.0))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_the_fields_of_its_spans_and_its_own() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt().fmt_fields(Json).event_format(Json);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let trace = Some(tracing::field::display("4bf9"));
            let span = tracing::error_span!("delivery", call_id = %"order-17", attempt = 2, trace_id = trace);
            span.in_scope(|| tracing::warn!(reason = "it said \"no\"\nand left", "a call could not be run"));
            tracing::info!("gateway is open");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = &lines[..] else { panic!("{text}") };
        for (name, value) in [
            ("call_id", Value::from("order-17")),
            ("attempt", 2.into()),
            ("trace_id", "4bf9".into()),
            ("reason", "it said \"no\"\nand left".into()),
            ("message", "a call could not be run".into()),
            ("level", "WARN".into()),
        ] {
            assert_eq!(first[name], value, "{text}");
        }
        assert_eq!((&second["message"], &second["call_id"]), (&"gateway is open".into(), &Value::Null));
        assert!(OffsetDateTime::parse(second["time"].as_str().unwrap(), &Rfc3339).is_ok());
    }
}
