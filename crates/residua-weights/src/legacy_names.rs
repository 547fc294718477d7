//! Names that published files have for historical reasons.

/// The name that a parameter has today. torchvision's DenseNets were saved when names could have
/// dots: `denselayer1.norm.1.weight` is `denselayer1.norm1.weight`.
pub(crate) fn current_name(name: &str) -> Option<String> {
    let layer = name.find("denselayer")?;
    let (path, rest) = name.split_at(layer);
    let mut parts = rest.split('.');
    let (layer, kind, number) = (parts.next()?, parts.next()?, parts.next()?);
    let is_old = ["norm", "conv"].contains(&kind) && ["1", "2"].contains(&number);
    let tail: Vec<&str> = parts.collect();
    is_old.then(|| format!("{path}{layer}.{kind}{number}.{}", tail.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_of_dense_layers_become_new_ones() {
        assert_eq!(
            current_name("features.denseblock1.denselayer12.norm.1.running_mean").as_deref(),
            Some("features.denseblock1.denselayer12.norm1.running_mean")
        );
        for name in [
            "features.denseblock1.denselayer1.norm1.weight",
            "features.denseblock1.denselayer1.relu.1",
            "layer1.0.conv.1.weight",
            "denselayer",
        ] {
            assert_eq!(current_name(name), None, "{name}");
        }
    }
}
