//! The path from options to facts, variables and files, which all subcommands share.

use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use serde_json::Value as Json;

use super::CommandError;
use crate::cli::Options;
use crate::facts::field::Field;
use crate::facts::subject::Asked;
use crate::kubernetes::{names, object};
use crate::render::Document;
use crate::render::template::{FileTemplate, TOTAL_LIMIT, TemplateError};
use crate::sources::gather::{Gathered, Origin, Request, Shared, gather};
use crate::sources::pod;
use crate::system::environment::Environment;
use crate::system::files::{self, OutputError};
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;
use crate::variables::value::template::{Stays, Template};
use crate::variables::variable::Variables;
use crate::variables::{self, Inputs, Lookup, VariablesError};

/// The input that the options name.
pub(super) enum Input<'a> {
    /// This container, or a recorded one.
    Container(Surroundings<'a>),
    /// The Pod object of `--pod`. The environment of this process does not belong to that pod.
    Object(Json, Environment),
}

impl<'a> Input<'a> {
    /// Opens the input that the options name. `environment` is that of this process. Of a Pod object, what the
    /// options and `templates` refer to is kept.
    pub(super) fn open(
        options: &Options,
        templates: &Templates,
        environment: &'a Environment,
        clock: fn() -> Instant,
    ) -> Result<Self, CommandError> {
        if let Some(file) = &options.pod {
            let (selection, environments) = (options.selection(), [environment; 2]);
            let inputs = Inputs { selection, environments, container: None, templates: &templates.all };
            return Ok(Input::Object(read_pod(file, &inputs.wanted().paths)?, Environment::default()));
        }
        let mut surroundings = match options.process {
            Some(pid) => Surroundings::of_process(pid, clock)?,
            None => Surroundings::new(Root::open(options.root())?, environment, clock),
        };
        surroundings.volumes.clone_from(&options.volume);
        surroundings.token_file.clone_from(&options.token_file);
        Ok(Input::Container(surroundings))
    }

    /// The container, if the input is one.
    pub(super) fn surroundings(&self) -> Option<&Surroundings<'a>> {
        match self {
            Input::Container(surroundings) => Some(surroundings),
            Input::Object(..) => None,
        }
    }

    /// The environment that the pod's author set.
    pub(super) fn environment(&self) -> &Environment {
        match self {
            Input::Container(surroundings) => &surroundings.environment,
            Input::Object(_, environment) => environment,
        }
    }

    /// Gathers facts, makes variables from them, and renders the templates of `run`.
    ///
    /// # Errors
    /// [`CommandError::Variables`] if a required variable is not known, [`CommandError::Template`] if a reference is not.
    pub(super) fn prepare(
        &self,
        options: &Options,
        application: &Environment,
        templates: &Templates,
    ) -> Result<Prepared, CommandError> {
        let mut prepared = self.prepare_what_is_known(options, application, templates);
        self.require(&prepared, options)?;
        prepared.made = self.made(&prepared, options, application, templates)?;
        Ok(prepared)
    }

    /// Does the same for each container that files describe; the API server is queried once for all, if
    /// that is enough.
    ///
    /// # Errors
    /// Those of [`Input::prepare`], for one of them.
    pub(super) fn prepare_each<'o>(
        &self,
        each: &'o [Options],
        templates: &'o Templates,
    ) -> Result<Vec<Prepared>, CommandError> {
        let mut shared = Shared::default();
        let nobody = Environment::default();
        let inputs = |options: &'o Options| self.inputs(options, &nobody, templates);
        let gather =
            |options: &'o Options| self.gather(options, &inputs(options), options.beside(), &mut shared);
        let gathered: Vec<Gathered> = each.iter().map(gather).collect();
        // The Pod object may be large.
        drop(shared);
        let mut warned = Vec::new();
        let prepare = |(gathered, options)| {
            let mut prepared = self.with_variables(gathered, &inputs(options), &mut warned);
            self.require(&prepared, options)?;
            prepared.require_in_files(options)?;
            prepared.made = self.made(&prepared, options, &nobody, templates)?;
            Ok(prepared)
        };
        gathered.into_iter().zip(each).map(prepare).collect()
    }

    /// The files that are made from templates.
    fn made(
        &self,
        prepared: &Prepared,
        options: &Options,
        application: &Environment,
        templates: &Templates,
    ) -> Result<Vec<File>, CommandError> {
        let container = prepared.container(options);
        let file = |(template, content, is_private): Rendered| {
            let path = template.path_for(container)?;
            let mode = options.mode_for(is_private);
            if is_private {
                log::info!("{}: something private is in it; its mode is {mode:04o}", path.display());
            }
            Ok(File { path, content, mode, creates_directory: template.creates_directory() })
        };
        let rendered = self.rendered(prepared, options, application, templates, Stays::Unknown)?;
        Ok(rendered.into_iter().map(file).collect::<Result<_, TemplateError>>()?)
    }

    /// Each template with its result, and whether something private is in it.
    ///
    /// # Errors
    /// [`CommandError::Template`] for the last reference that is not known. The others are logged.
    pub(super) fn rendered<'t>(
        &self,
        prepared: &Prepared,
        options: &Options,
        application: &Environment,
        templates: &'t Templates,
        stays: Stays,
    ) -> Result<Vec<Rendered<'t>>, CommandError> {
        let Prepared { gathered, variables, .. } = prepared;
        let inputs = self.inputs(options, application, templates);
        let lookup = Lookup { facts: &gathered.facts, variables, inputs: &inputs, own: None };
        let mut left = TOTAL_LIMIT;
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for template in &templates.files {
            match template.render(&lookup, stays, left, gathered) {
                Ok((content, is_private)) => {
                    left -= content.len();
                    all.push((template, content, is_private));
                }
                Err(unknown) => errors.extend(unknown),
            }
        }
        last_logged(errors)?;
        Ok(all)
    }

    /// Checks that every variable of `--require` is known.
    ///
    /// # Errors
    /// [`CommandError::Variables`] for the last unknown one. The others are logged.
    pub(super) fn require(&self, prepared: &Prepared, options: &Options) -> Result<(), CommandError> {
        let Prepared { gathered, variables, .. } = prepared;
        let missing =
            variables::missing_required(variables, gathered, &options.selection(), self.environment());
        last_logged(missing)
    }

    /// Like [`Input::prepare`], but without the check of `--require`.
    pub(super) fn prepare_what_is_known(
        &self,
        options: &Options,
        application: &Environment,
        templates: &Templates,
    ) -> Prepared {
        let inputs = self.inputs(options, application, templates);
        let gathered = self.gather(options, &inputs, options.own(), &mut Shared::default());
        self.with_variables(gathered, &inputs, &mut Vec::new())
    }

    /// What variables are made of, besides facts.
    pub(super) fn inputs<'i>(
        &'i self,
        options: &'i Options,
        application: &'i Environment,
        templates: &'i Templates,
    ) -> Inputs<'i> {
        let environments = [self.environment(), application];
        let (selection, container) = (options.selection(), self.surroundings());
        Inputs { selection, environments, container, templates: &templates.all }
    }

    fn gather<'s>(
        &'s self,
        options: &Options,
        inputs: &Inputs,
        asked: Asked,
        shared: &mut Shared<'s>,
    ) -> Gathered {
        let origin = match self {
            Input::Container(surroundings) => Origin::Container(surroundings),
            Input::Object(pod, _) => Origin::Object(pod),
        };
        let request = Request { asked, wanted: inputs.wanted(), api: &options.api() };
        gather(origin, &request, shared)
    }

    /// Makes the variables, and logs their warnings except for those that are in `warned`.
    fn with_variables(&self, gathered: Gathered, inputs: &Inputs, warned: &mut Vec<String>) -> Prepared {
        let mut variables = variables::variables(&gathered, inputs);
        for warning in std::mem::take(&mut variables.warnings) {
            if !warned.contains(&warning) {
                log::warn!("{warning}");
                warned.push(warning);
            }
        }
        let is_own = self.surroundings().is_some_and(|surroundings| surroundings.root.is_system());
        Prepared { gathered, variables, is_own, made: Vec::new() }
    }
}

/// Logs all `errors` except the last, which the command returns.
pub(super) fn last_logged<E: Display + Into<CommandError>>(mut errors: Vec<E>) -> Result<(), CommandError> {
    let last = errors.pop();
    errors.iter().for_each(|error| log::error!("{error}"));
    last.map_or(Ok(()), |error| Err(error.into()))
}

fn read_pod(file: &Path, paths: &[crate::kubernetes::path::Path]) -> Result<Json, CommandError> {
    let name = || file.display().to_string();
    // One byte more than the limit, so that the parser rejects a larger object.
    let limit = object::BYTES_LIMIT as u64 + 1;
    let mut content = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(limit).read_to_end(&mut content),
        false => std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut content)),
    };
    read.map_err(|source| CommandError::PodFile { file: name(), source })?;
    pod::parse(&content, paths).map_err(|source| CommandError::Pod { file: name(), source })
}

/// The templates of a run.
#[derive(Default)]
pub(super) struct Templates {
    pub(super) files: Vec<FileTemplate>,
    /// Those of files and others. What they refer to is requested.
    all: Vec<Rc<Template>>,
}

impl Templates {
    /// The templates that the options name, and `others`.
    ///
    /// # Errors
    /// Those of [`Options::templates`].
    pub(super) fn load(options: &Options, others: &[Rc<Template>]) -> Result<Self, TemplateError> {
        let files = options.templates()?;
        let all = files.iter().map(|file| &file.template).chain(others).cloned().collect();
        Ok(Templates { files, all })
    }
}

/// A template with its result, and whether something private is in it.
type Rendered<'t> = (&'t FileTemplate, Vec<u8>, bool);

/// A file to write.
struct File {
    path: PathBuf,
    content: Vec<u8>,
    mode: u32,
    creates_directory: bool,
}

impl File {
    /// Writes the file if its bytes or its mode differ. Answers whether they did.
    fn write(&self) -> Result<bool, OutputError> {
        if files::holds(&self.path, &self.content, self.mode) {
            return Ok(false);
        }
        if let Some(directory) = self.path.parent().filter(|_| self.creates_directory) {
            // If it fails, so does the file.
            let _ = std::fs::create_dir(directory);
        }
        files::replace(&self.path, &self.content, self.mode)?;
        Ok(true)
    }
}

/// The facts and variables.
pub(super) struct Prepared {
    pub(super) gathered: Gathered,
    pub(super) variables: Variables,
    /// The environment of this process has the variables that the pod's author set.
    pub(super) is_own: bool,
    /// The files that are made from templates.
    made: Vec<File>,
}

impl Prepared {
    pub(super) fn document(&self) -> Document<'_> {
        Document { facts: &self.gathered.facts, variables: &self.variables, explanation: None }
    }

    /// The name of the container that files are for.
    fn container<'a>(&'a self, options: &'a Options) -> Option<&'a str> {
        let own = self.gathered.facts.text(Field::CONTAINER_NAME).filter(|name| names::is_label(name));
        options.container().or(own)
    }

    /// Checks that every file of `--out` has every variable of `--require`.
    ///
    /// # Errors
    /// [`CommandError::Variables`] for the last one that is missing. The others are logged.
    fn require_in_files(&self, options: &Options) -> Result<(), CommandError> {
        let pairs = options.out.iter().flat_map(|out| options.require.iter().map(move |name| (out, name)));
        let missing = pairs.filter_map(|(out, name)| {
            let why = out.format.why_lacking(name, &self.variables)?;
            Some(VariablesError::NotInFile { name: name.clone(), file: out.file.display().to_string(), why })
        });
        last_logged(missing.collect())
    }

    /// Writes the files of `--out`, then those from templates, if their bytes or modes differ. Answers whether one did.
    /// It warns about a file of `--out` whose name needs the container's name, if that is not known.
    pub(super) fn write_files(&self, options: &Options) -> Result<bool, CommandError> {
        let mut is_changed = false;
        for out in &options.out {
            let Some(path) = out.file.path_for(self.container(options)) else {
                log::warn!("{}", TemplateError::NoContainer { file: out.file.display().to_string() });
                continue;
            };
            let content = out.format.render(&self.document());
            is_changed |=
                File { path, content, mode: options.mode_for(false), creates_directory: false }.write()?;
        }
        for file in &self.made {
            is_changed |= file.write()?;
        }
        Ok(is_changed)
    }
}
