//! Drills: the record of what was written, the incidents that begin with a request, and a drill from start to report.

mod record;
mod requests;
mod screen;
mod served;
