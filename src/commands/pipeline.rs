//! The path from options to facts, variables and files, which all subcommands share.

use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::CommandError;
use crate::cli::Options;
use crate::facts::Facts;
use crate::facts::field::Field;
use crate::facts::subject::{Asked, Subject};
use crate::kubernetes::{names, object};
use crate::render::for_container;
use crate::render::template::{FileTemplate, TOTAL_LIMIT, TemplateError};
use crate::sources::api::Settings;
use crate::sources::gather::{Origin, Shared, gather};
use crate::sources::pod;
use crate::system::environment::Environment;
use crate::system::files::NewFile;
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;
use crate::variables::value::template::Template;
use crate::variables::{Run, Selection, VariablesError};

/// Reads the templates of the options, and opens what the options name: this container, a recorded one, or a Pod
/// object. `environment` is that of this process. `arguments` are other texts with references.
pub(super) fn open<'a>(
    options: &Options,
    arguments: &[Rc<Template>],
    environment: &'a Environment,
    clock: fn() -> Instant,
) -> Result<(Vec<FileTemplate>, Origin<'a>), CommandError> {
    let templates = options.templates()?;
    if let Some(file) = &options.pod {
        let origin = read_pod(file, &options.selection(texts(&templates, arguments), None))?;
        return Ok((templates, origin));
    }
    let mut surroundings = match options.process {
        Some(pid) => Surroundings::of_process(pid, clock)?,
        None => Surroundings::new(Root::open(options.root())?, environment, clock),
    };
    surroundings.volumes.clone_from(&options.volume);
    surroundings.token_file.clone_from(&options.token_file);
    Ok((templates, Origin::Container(surroundings)))
}

/// Of the Pod object, what `selection` refers to is kept.
fn read_pod(file: &Path, selection: &Selection) -> Result<Origin<'static>, CommandError> {
    let name = || file.display().to_string();
    // One byte more than the limit, so that the parser rejects a larger object.
    let limit = object::BYTES_LIMIT as u64 + 1;
    let mut content = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut content)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut content))
    };
    read.map_err(|source| CommandError::PodFile { file: name(), source })?;
    let pod = pod::parse(&content, &selection.named().1);
    let pod = pod.map_err(|source| CommandError::Pod { file: name(), source })?;
    Ok(Origin::Object(pod, Environment::default()))
}

/// The texts of the templates of files, and `others`.
pub(super) fn texts(files: &[FileTemplate], others: &[Rc<Template>]) -> Vec<Rc<Template>> {
    files.iter().map(|file| &file.template).chain(others).cloned().collect()
}

/// Gathers facts about the container `asked`, and makes variables from them. Logs the warnings.
pub(super) fn run<'a>(
    origin: &'a Origin<'a>,
    asked: &Asked,
    selection: Selection<'a>,
    settings: Settings,
) -> Run<'a> {
    let mut shared = Shared::new(settings);
    let gathered = gather(origin, asked, selection.wanted(origin), &mut shared);
    with_variables(origin, selection, gathered, &mut shared)
}

fn with_variables<'a>(
    origin: &'a Origin<'a>,
    selection: Selection<'a>,
    gathered: (Subject, Facts),
    shared: &mut Shared,
) -> Run<'a> {
    let mut run = Run::new(origin, selection, gathered);
    for warning in std::mem::take(&mut run.variables.warnings) {
        shared.warn(warning);
    }
    run
}

/// The runs for the containers that files describe. The API server is queried once for all, if that is enough.
///
/// # Errors
/// [`CommandError::Variables`] if a required variable is not known or not in a file, [`CommandError::Template`] if a
/// reference is not known.
pub(super) fn run_each<'a>(
    origin: &'a Origin<'a>,
    each: &'a [Options],
    templates: &[FileTemplate],
    settings: Settings,
) -> Result<Vec<Run<'a>>, CommandError> {
    let mut shared = Shared::new(settings);
    let gathered = each.iter().map(|options| {
        let selection = options.selection(texts(templates, &[]), None);
        let gathered = gather(origin, &options.beside(), selection.wanted(origin), &mut shared);
        (options, selection, gathered)
    });
    let gathered: Vec<_> = gathered.collect();
    shared.forget_objects();
    let make = |(options, selection, gathered)| {
        let mut run = with_variables(origin, selection, gathered, &mut shared);
        require(&run)?;
        require_in_files(&run, options)?;
        run.files = from_templates(&run, options, templates)?;
        Ok(run)
    };
    gathered.into_iter().map(make).collect()
}

/// Checks that every variable of `--require` is known.
///
/// # Errors
/// [`CommandError::Variables`] for the last unknown one. The others are logged.
pub(super) fn require(run: &Run) -> Result<(), CommandError> {
    last_logged(run.missing_required().into_iter().map(CommandError::from).collect())
}

/// Checks that every file of `--out` has every variable of `--require`.
///
/// # Errors
/// [`CommandError::Variables`] for the last one that is missing. The others are logged.
fn require_in_files(run: &Run, options: &Options) -> Result<(), CommandError> {
    let pairs = options.out.iter().flat_map(|out| options.require.iter().map(move |name| (out, name)));
    let missing = pairs.filter_map(|((file, format), name)| {
        let why = format.why_lacking(name, &run.variables)?;
        let (name, file) = (name.clone(), file.display().to_string());
        Some(VariablesError::NotInFile { name, file, why }.into())
    });
    last_logged(missing.collect())
}

/// Logs all `errors` except the last, which the command returns.
fn last_logged(mut errors: Vec<CommandError>) -> Result<(), CommandError> {
    let last = errors.pop();
    errors.iter().for_each(|error| log::error!("{error}"));
    last.map_or(Ok(()), Err)
}

/// A template with its result, and whether something private is in it.
type Rendered<'t> = (&'t FileTemplate, Vec<u8>, bool);

/// Renders each template. If `hides_private`, references to private values stay as they are written.
///
/// # Errors
/// [`CommandError::Template`] for the last reference that is not known. The others are logged.
pub(super) fn render<'t>(
    run: &Run,
    templates: &'t [FileTemplate],
    hides_private: bool,
) -> Result<Vec<Rendered<'t>>, CommandError> {
    let mut left = TOTAL_LIMIT;
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for template in templates {
        match template.render(run, hides_private, left) {
            Ok((content, is_private)) => {
                left -= content.len();
                all.push((template, content, is_private));
            }
            Err(unknown) => errors.extend(unknown.into_iter().map(CommandError::Template)),
        }
    }
    last_logged(errors)?;
    Ok(all)
}

/// The files that are made from templates.
///
/// # Errors
/// Those of [`render`], and [`TemplateError::NoContainer`].
pub(super) fn from_templates(
    run: &Run,
    options: &Options,
    templates: &[FileTemplate],
) -> Result<Vec<NewFile>, CommandError> {
    let file = |(template, content, is_private): Rendered| {
        let path = template.path_for(container(run, options))?;
        let mode = options.mode_for(is_private);
        if is_private {
            log::info!("{}: something private is in it; its mode is {mode:04o}", path.display());
        }
        Ok(NewFile { path, content, mode, creates_directory: template.creates_directory })
    };
    let rendered = render(run, templates, false)?;
    Ok(rendered.into_iter().map(file).collect::<Result<_, TemplateError>>()?)
}

/// Writes the files of `--out`, then those from templates, if their bytes or modes differ. Answers whether one did.
/// It warns about a file of `--out` whose name needs the container's name, if that is not known.
pub(super) fn write_files(run: &Run, options: &Options) -> Result<bool, CommandError> {
    let mut is_changed = false;
    for (file, format) in &options.out {
        let Some(path) = for_container(file, container(run, options)) else {
            log::warn!("{}", TemplateError::NoContainer { file: file.display().to_string() });
            continue;
        };
        let (content, mode) = (format.render(run, None), options.mode_for(false));
        is_changed |= NewFile { path, content, mode, creates_directory: false }.write()?;
    }
    for file in &run.files {
        is_changed |= file.write()?;
    }
    Ok(is_changed)
}

/// The name of the container that files are for.
fn container<'a>(run: &'a Run, options: &'a Options) -> Option<&'a str> {
    options.container().or(run.facts.text(Field::CONTAINER_NAME).filter(|name| names::is_label(name)))
}
