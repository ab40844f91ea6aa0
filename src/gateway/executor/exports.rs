//! Files under way: each is read page by page in a task of its own, tells how far it is, and stays partial where it is broken off.

use crate::domain::export::Format;
use crate::domain::quota::{QuotaFilter, Threshold};
use crate::gateway::export;
use crate::gateway::reader::Reader;
use crate::gateway::stripe::Priority;
use crate::protocol::event::{Event, Exported};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Default)]
pub struct Exports {
    under_way: HashMap<Uuid, CancellationToken>,
}

/// What is to be written where.
pub struct Order {
    pub export: Uuid,
    /// In the directory that the process was started in, unless it is a whole path.
    pub file: String,
    pub format: Format,
    pub threshold: Threshold,
    pub filter: QuotaFilter,
}

impl Exports {
    pub fn start(&mut self, reader: &Reader, events: &mpsc::Sender<Event>, order: Order) {
        self.under_way.retain(|_, stop| !stop.is_cancelled());
        let stop = CancellationToken::new();
        self.under_way.insert(order.export, stop.clone());
        let (reader, events) = (reader.clone(), events.clone());
        tokio::spawn(async move {
            let export = order.export;
            let result = match std::path::absolute(&order.file) {
                Ok(path) => tokio::select! {
                    () = stop.cancelled() => Err(format!("Stopped; {} is not complete", partial(&path).display())),
                    result = write(&reader, &events, &path, order) => result,
                },
                Err(error) => Err(format!("{}: {error}", order.file)),
            };
            stop.cancel();
            // Nobody listens any more where the console is closing.
            let _ = events.send(Event::ExportEnded { export, result }).await;
        });
    }

    pub fn cancel(&mut self, export: Uuid) {
        if let Some(stop) = self.under_way.remove(&export) {
            stop.cancel();
        }
    }

    pub fn cancel_all(&mut self) {
        for (_, stop) in self.under_way.drain() {
            stop.cancel();
        }
    }
}

async fn write(reader: &Reader, events: &mpsc::Sender<Event>, path: &Path, order: Order) -> Result<Exported, String> {
    let ask = |query| reader.ask_at(query, Priority::Background);
    // How far it is may be lost where the queue is full: the next page tells more.
    let told = |rows| drop(events.try_send(Event::ExportWent { export: order.export, rows }));
    let rows = export::near_limit(ask, path, order.format, order.threshold, order.filter, true, told).await?;
    Ok(Exported { path: path.display().to_string(), rows })
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".partial");
    name.into()
}
