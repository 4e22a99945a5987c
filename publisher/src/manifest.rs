//! `faultline manifest`: the resource that puts an artifact into an Istio mesh, pinned to what the registry holds now.
//!
//! Istio compares `sha256` with the digest of the image's manifest. Pinning matters twice: the mesh runs what was looked at, and
//! a proxy that has the module already needs no registry at all.

use anyhow::{Context, bail, ensure};

use crate::cli::{self, Kind, Manifest, WrongUsage};
use crate::digest::Digest;
use crate::output::{self, Format};
use crate::reference::{Reference, RegistryRef};
use crate::resource::{Plan, Target, TargetRef};
use crate::store::Store;
use crate::{Outcome, image, validate};

/// Runs it.
///
/// # Errors
/// When the artifact cannot be resolved, is none that a mesh accepts, or a name is not valid.
pub async fn run(args: Manifest, format: Format) -> anyhow::Result<Outcome> {
    let reference = cli::reference(&args.reference)?;
    let mut plan = plan(&args, &reference).map_err(WrongUsage)?;
    if let Some(path) = &args.config {
        let text = validate::read(path)?;
        let findings = validate::check(&text);
        for finding in &findings {
            output::note(&format!("{}: {}: {}", path.display(), finding.path, finding.problem));
        }
        if !findings.is_empty() {
            output::note("no manifest was written; correct the configuration first");
            return Ok(Outcome::Findings);
        }
        if !text.trim_ascii().is_empty() {
            plan.config = Some(serde_json::from_slice(&text)?);
        }
    }
    plan.digest = digest(&args, &reference).await?;
    if plan.image.is_loopback() {
        output::note(&format!(
            "warning: in a mesh `{}` is each proxy's own machine; give the registry's real name",
            plan.image.host
        ));
    }
    match format {
        Format::Text => output::result(&format!("{}{}", comments(&plan, args.kind), plan.yaml(args.kind)?))?,
        Format::Json => output::json(&plan.json(args.kind)?)?,
    }
    Ok(Outcome::Done)
}

/// What the command line alone says, checked.
fn plan(args: &Manifest, reference: &Reference) -> anyhow::Result<Plan> {
    let plan = Plan {
        name: args.name.clone(),
        namespace: args.namespace.clone(),
        image: image_name(reference, args.image.as_deref())?,
        digest: None,
        target: target(args)?,
        phase: args.phase,
        priority: args.priority,
        pull_secret: args.pull_secret.clone(),
        config: None,
    };
    plan.check()?;
    Ok(plan)
}

/// The name under which the mesh pulls.
fn image_name(reference: &Reference, image: Option<&str>) -> anyhow::Result<RegistryRef> {
    match (reference, image.map(str::parse).transpose()?) {
        (Reference::Registry(named), None) => Ok(named.clone()),
        (Reference::Layout(_), Some(Reference::Registry(image))) => Ok(image),
        (Reference::Layout(_), None) => bail!(
            "`{reference}` is a directory, from which no mesh can pull; say with --image registry/repo:tag where it will be"
        ),
        (Reference::Layout(_), Some(image)) => bail!("--image `{image}` is a directory too; write registry/repo:tag"),
        (Reference::Registry(_), Some(_)) => {
            bail!("--image is for layout directories; `{reference}` names a registry already")
        }
    }
}

fn target(args: &Manifest) -> anyhow::Result<Target> {
    let mut refs = args.target_refs.iter().map(|text| TargetRef::parse(text)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(name) = &args.waypoint {
        refs.push(TargetRef::waypoint(name)?);
    }
    Ok(if refs.is_empty() {
        Target::Workloads(args.selector.iter().cloned().collect())
    } else {
        Target::Resources(refs)
    })
}

/// The digest to pin: resolved where the artifact is, or with `--offline` as given.
async fn digest(args: &Manifest, reference: &Reference) -> anyhow::Result<Option<Digest>> {
    if args.offline {
        if reference.digest().is_none() {
            output::note("warning: without a digest the mesh runs whatever the tag stands for when it looks");
        }
        return Ok(reference.digest().cloned());
    }
    let resolved = Store::open(reference, &args.transport)?.resolve(reference).await?;
    image::classify(&resolved.manifest).with_context(|| format!("`{reference}`"))?;
    if let Some(index) = &resolved.index {
        output::note(&format!(
            "`{reference}` is an index ({index}); pinned is its image for linux/amd64, as a mesh wants it"
        ));
    }
    if let Some(Reference::Registry(image)) = args.image.as_deref().map(str::parse).transpose()?
        && let Some(expected) = &image.digest
    {
        ensure!(
            *expected == resolved.digest,
            "--image has the digest {expected}, but `{reference}` is {}; leave the digest off",
            resolved.digest
        );
    }
    Ok(Some(resolved.digest))
}

/// What a reader of the file needs to know, and no schema says.
fn comments(plan: &Plan, kind: Kind) -> String {
    let place = match (&plan.target, &plan.namespace) {
        (Target::Resources(_), _) => "the proxies of the resources in targetRefs".to_owned(),
        (Target::Workloads(labels), None) if labels.is_empty() => {
            "every sidecar and gateway of the current namespace (of the mesh, in Istio's root namespace)".to_owned()
        }
        (Target::Workloads(labels), Some(namespace)) if labels.is_empty() => {
            format!(
                "every sidecar and gateway of namespace {namespace} (of the mesh, if that is Istio's root namespace)"
            )
        }
        (Target::Workloads(_), _) => "the sidecars and gateways that the selector names".to_owned(),
    };
    let mut lines = vec![
        "faultline: tells which endpoint is failing, ejected or back, and where traffic failed over to.".to_owned(),
        format!("Goes into {place}. It only watches."),
        "Apply:  kubectl apply -f THIS_FILE      Take out again:  kubectl delete -f THIS_FILE".to_owned(),
        "FAIL_OPEN: if the module cannot be fetched, traffic goes on without it.".to_owned(),
    ];
    if matches!(plan.target, Target::Workloads(_)) {
        lines.push("CLIENT: what these proxies send, not what they receive.".to_owned());
    }
    if plan.digest.is_some() {
        lines.push("sha256: the digest of the image's manifest, not of the module.".to_owned());
    }
    if let Some(secret) = &plan.pull_secret {
        lines.push(format!("Secret {secret}: of type kubernetes.io/dockerconfigjson, in the same namespace."));
    }
    if kind == Kind::TrafficExtension {
        lines.push("TrafficExtension: Istio 1.30 or later.".to_owned());
    }
    lines.iter().map(|line| format!("# {line}\n")).collect()
}
