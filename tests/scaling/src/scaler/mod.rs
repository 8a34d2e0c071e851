//! Autoscalers, each as its documentation describes it.

mod hpa;
mod kpa;
mod skep;

use std::collections::VecDeque;

pub use self::{
    hpa::{Hpa, Keda},
    kpa::Kpa,
    skep::Skep,
};

/// What an autoscaler sees of the function, since it looked last; times are in seconds.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub now: f64,
    pub ready: u32,
    pub starting: u32,
    pub want: u32,
    pub arrived: f64,
    pub done: f64,
    /// Time that calls ran, and time that they waited, summed over calls.
    pub busy: f64,
    pub queue: f64,
    /// The time that this covers.
    pub span: f64,
    pub in_flight: f64,
    pub queued: f64,
    /// How long the oldest queued call has waited.
    pub age: f64,
    pub longest: f64,
    /// How long replicas have taken to start so far; `None` before the first one.
    pub start: Option<f64>,
}

pub trait Scaler {
    /// Seconds between two looks.
    fn period(&self) -> f64;
    /// The replicas that it wants now.
    fn scale(&mut self, view: &View) -> u32;
}

/// The limits of a function.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub slots: u32,
    pub min: u32,
    pub max: u32,
}

/// The mean of the last values.
struct Mean {
    values: VecDeque<f64>,
    length: usize,
}

impl Mean {
    fn of(length: usize) -> Self {
        Self { values: VecDeque::new(), length }
    }

    fn add(&mut self, value: f64) -> f64 {
        if self.values.len() == self.length {
            self.values.pop_front();
        }
        self.values.push_back(value);
        #[expect(clippy::cast_precision_loss)]
        let count = self.values.len() as f64;
        self.values.iter().sum::<f64>() / count
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(replicas: f64) -> u32 {
    replicas.ceil().clamp(0.0, 1e9) as u32
}
