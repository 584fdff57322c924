//! Text for people at a terminal: what others have written, made harmless, and tables.
//!
//! What tenants, clients and backends write (names, paths, hosts, annotations, error messages) ends up in terminals: in reports
//! and in log lines. Everything that shows it uses [`Shown`], or [`ShownJson`] where the text is JSON.

mod json;
mod shown;
mod table;

pub use json::ShownJson;
pub use shown::Shown;
pub use table::Table;
