//! The bars that skep's autoscaler meets, on simulated workloads: the same figures on each machine.

use std::path::Path;

use skep_scaling_sim::{
    Workload,
    report::{self, Row},
    workload,
};

fn rows(workloads: &[Workload]) -> Vec<Row> {
    workloads.iter().map(Row::of).collect()
}

#[test]
fn it_is_cheaper_earlier_and_steadier_than_knatives_on_synthetic_workloads() {
    for seed in [3, 4, 5, 7] {
        let rows = rows(&workload::synthetic(seed));
        assert_eq!(report::misses(&rows), [""; 0], "seed {seed}{}", report::table(&rows));
    }
}

#[test]
fn it_is_cheaper_earlier_and_steadier_than_knatives_with_a_trace() {
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/orcbench.csv");
    let mut workloads = workload::synthetic(3);
    workloads.extend(workload::orcbench(&trace, 40).unwrap());
    let rows = rows(&workloads);
    assert_eq!(rows.len(), 11);
    assert_eq!(report::misses(&rows), [""; 0], "{}", report::table(&rows));
}

#[test]
fn a_batch_of_jobs_begins_no_later_than_the_replicas_allow() {
    let workloads = workload::synthetic(7);
    let batch = workloads.iter().find(|workload| workload.name.starts_with("batch")).unwrap();
    let row = Row::of(batch);
    assert_eq!(row.skep().peak, batch.limits.max);
    // 300 jobs of 5 s on 40 replicas are 37 s of work.
    assert!(row.skep().p99 < 45.0, "{:?}", row.skep());
}
