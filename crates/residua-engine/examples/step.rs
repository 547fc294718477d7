use residua_engine::*;
use residua_graph::catalog::{self, BuildOptions};
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (model, batch, steps) = (
        &a[1],
        a[2].parse::<usize>().unwrap(),
        a[3].parse::<usize>().unwrap(),
    );
    let precision: Precision = a[4].parse().unwrap();
    let graph = catalog::build(model, &BuildOptions::default()).unwrap();
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        (seed >> 8) as f32 / 16777216.0 - 0.5
    };
    let state: Vec<Vec<f32>> = state_entries(&graph)
        .map(|e| match e.role {
            residua_graph::StateRole::NormScale | residua_graph::StateRole::RunningVariance => {
                vec![1.0; e.elements()]
            }
            residua_graph::StateRole::Weight => {
                let f = (12.0 / e.shape[1..].iter().product::<usize>() as f32).sqrt();
                (0..e.elements()).map(|_| next() * f).collect()
            }
            _ => vec![0.0; e.elements()],
        })
        .collect();
    let state: Vec<&[f32]> = state.iter().map(|v| &v[..]).collect();
    let engine = Engine::new(&graph);
    let images: Vec<f32> = (0..batch * graph.input_shape().elements())
        .map(|_| next())
        .collect();
    let mut times = vec![];
    for i in 0..steps {
        let t = Instant::now();
        let pass = engine.train_forward(precision, &images, batch, &state);
        let f = t.elapsed().as_secs_f64();
        let g: Vec<f32> = pass
            .logits
            .iter()
            .enumerate()
            .map(|(i, _)| ((i % 7) as f32 - 3.0) / batch as f32)
            .collect();
        let gr = engine.backward(pass.record, &g, &state);
        let s = t.elapsed().as_secs_f64();
        if i == 0 || i == steps - 1 {
            println!(
                "logits {:?} grad {:?} {:?}",
                &pass.logits[..3],
                &gr[0].values[..3],
                &gr[gr.len() - 1].values[..2]
            );
        }
        if i > 0 {
            times.push((s, f));
        }
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (s, f) = times[times.len() / 2];
    println!(
        "{model} {precision} {:.1} img/s, step {:.1} ms, forward {:.1} ms, {:.0} GFLOP/s",
        batch as f64 / s,
        s * 1e3,
        f * 1e3,
        6.0 * graph.macs() as f64 * batch as f64 / s / 1e9
    );
}
