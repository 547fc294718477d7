//! The most confident mistakes as pictures, with what the network looked at.

use std::collections::HashMap;
use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use residua::core::metrics::judgement::Mistake;
use residua::core::run::{RunFolder, RunMetrics};
use residua::core::seed::SeedStream;
use residua::data::{Sample, Transform};
use residua::report::GalleryItem;
use residua::train::explain::{CamMethod, attribute, last_map};
use residua::train::{Device, LoadedModel, TrainConfig, image_tensor, load_model};

use crate::commands::evaluation_data::{EvaluationDataSpec, open_listed};
use crate::commands::overlay;

/// Mistakes that are shown.
const SHOWN: usize = 12;
/// Height or width that a picture has at least.
const LEAST_SIZE: usize = 160;

/// The pictures, or why there are none.
pub(super) fn collect(
    folder: &RunFolder,
    config: &TrainConfig,
    metrics: Option<&RunMetrics>,
    device: &Device,
) -> Result<Vec<GalleryItem>, String> {
    let results = metrics.and_then(RunMetrics::single_label);
    let judgement = results.and_then(|results| results.judgement.as_ref());
    let mistakes = judgement.map_or(&[][..], |judgement| &judgement.mistakes);
    if mistakes.is_empty() {
        return Ok(Vec::new());
    }
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let model = load_model(&folder.best_checkpoint(), device).map_err(|error| text(&error))?;
    let data = open_listed(EvaluationDataSpec::default(), Some(config), &model.record)
        .map_err(|failure| text(&failure.message))?;
    let samples: HashMap<String, &Sample> = { data.split.samples.iter() }
        .map(|sample| (sample.source.to_string(), sample))
        .collect();
    let transform =
        Transform::evaluation(&model.record.preprocessing).map_err(|error| text(&error))?;
    let shown = mistakes.iter().filter_map(|mistake| {
        let sample = samples.get(&mistake.image)?;
        item(mistake, sample, &model, &transform)
    });
    let shown: Vec<GalleryItem> = shown.take(SHOWN).collect();
    match shown.is_empty() {
        true => Err("the images that were evaluated are no longer there".to_owned()),
        false => Ok(shown),
    }
}

/// Nothing for an image that can no longer be read.
fn item(
    mistake: &Mistake,
    sample: &Sample,
    model: &LoadedModel,
    transform: &Transform,
) -> Option<GalleryItem> {
    let pixels = sample.pixels().ok()?;
    let image = transform.apply(&pixels, SeedStream::new(0)).ok()?;
    let preprocessing = &model.record.preprocessing;
    let picture = png(&overlay::enlarged(&image, preprocessing, LEAST_SIZE))?;
    let predicted = model.record.classes.iter();
    let predicted = { predicted }.position(|class| *class == mistake.predicted);
    let map = last_map(model.network.graph()).and_then(|tap| {
        let images = image_tensor(&model.network, image.clone());
        let found = attribute(&model.network, images, tap, predicted).ok()?;
        CamMethod::GradCam.maps(&found).into_iter().next()
    });
    Some(GalleryItem {
        mistake: mistake.clone(),
        picture,
        overlay: map.and_then(|map| png(&overlay::draw(&image, preprocessing, &map))),
    })
}

fn png(picture: &RgbImage) -> Option<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).ok()?;
    Some(bytes.into_inner())
}
