//! The path from options to facts, variables and files, which all subcommands share.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value as Json;

use super::CommandError;
use crate::cli::Options;
use crate::facts::field::Field;
use crate::facts::subject::Asked;
use crate::kubernetes::{names, object};
use crate::render::Document;
use crate::sources::gather::{Gathered, Origin, Request, Shared, gather};
use crate::sources::pod;
use crate::system::environment::Environment;
use crate::system::files;
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;
use crate::variables::value::template::Template;
use crate::variables::variable::Variables;
use crate::variables::{self, Inputs, VariablesError};

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
        templates: &[Template],
        environment: &'a Environment,
        clock: fn() -> Instant,
    ) -> Result<Self, CommandError> {
        if let Some(file) = &options.pod {
            let (selection, environments) = (options.selection(), [environment; 2]);
            let inputs = Inputs { selection, environments, container: None, templates };
            return Ok(Input::Object(read_pod(file, &inputs.wanted().paths)?, Environment::default()));
        }
        let (volumes, token_file) = (options.volume.clone(), options.token_file.clone());
        Ok(Input::Container(match options.process {
            Some(pid) => Surroundings::of_process(pid, volumes, token_file, clock)?,
            None => {
                let root = Root::open(options.root())?;
                Surroundings::new(root, environment, volumes, token_file, clock)
            }
        }))
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

    /// Gathers facts, and makes variables from them. `application` is the environment that the application
    /// has anyway. The fields in `templates` are requested, too.
    ///
    /// # Errors
    /// [`CommandError::Variables`] if a required variable is not known.
    pub(super) fn prepare(
        &self,
        options: &Options,
        application: &Environment,
        templates: &[Template],
    ) -> Result<Prepared, CommandError> {
        let prepared = self.prepare_what_is_known(options, application, templates);
        self.require(&prepared, options)?;
        Ok(prepared)
    }

    /// Does the same for each container that files describe; the API server is queried once for all, if
    /// that is enough.
    ///
    /// # Errors
    /// [`CommandError::Variables`] if a required variable is not known for one of them.
    pub(super) fn prepare_each<'o>(&self, each: &'o [Options]) -> Result<Vec<Prepared>, CommandError> {
        let mut shared = Shared::default();
        let nobody = Environment::default();
        let inputs = |options: &'o Options| self.inputs(options, &nobody, &[]);
        let gather =
            |options: &'o Options| self.gather(options, &inputs(options), options.beside(), &mut shared);
        let gathered: Vec<Gathered> = each.iter().map(gather).collect();
        // The Pod object may be large.
        drop(shared);
        let prepare = |(gathered, options)| {
            let prepared = self.with_variables(gathered, &inputs(options));
            self.require(&prepared, options)?;
            Ok(prepared)
        };
        gathered.into_iter().zip(each).map(prepare).collect()
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
        templates: &[Template],
    ) -> Prepared {
        let inputs = self.inputs(options, application, templates);
        let gathered = self.gather(options, &inputs, options.own(), &mut Shared::default());
        self.with_variables(gathered, &inputs)
    }

    /// What variables are made of, besides facts.
    pub(super) fn inputs<'i>(
        &'i self,
        options: &'i Options,
        application: &'i Environment,
        templates: &'i [Template],
    ) -> Inputs<'i> {
        let environments = [self.environment(), application];
        Inputs { selection: options.selection(), environments, container: self.surroundings(), templates }
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

    fn with_variables(&self, gathered: Gathered, inputs: &Inputs) -> Prepared {
        let variables = variables::variables(&gathered, inputs);
        let is_own = self.surroundings().is_some_and(|surroundings| surroundings.root.is_system());
        Prepared { gathered, variables, is_own }
    }
}

/// Logs all `errors` except the last, which the command returns.
pub(super) fn last_logged(mut errors: Vec<VariablesError>) -> Result<(), CommandError> {
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

/// The facts and variables.
pub(super) struct Prepared {
    pub(super) gathered: Gathered,
    pub(super) variables: Variables,
    /// The environment of this process has the variables that the pod's author set.
    pub(super) is_own: bool,
}

impl Prepared {
    pub(super) fn document(&self) -> Document<'_> {
        Document { facts: &self.gathered.facts, variables: &self.variables, explanation: None }
    }

    /// The files of `--out` with their content. It warns about a file whose name needs the container's name,
    /// if that is not known.
    pub(super) fn files<'a>(&'a self, options: &'a Options) -> impl Iterator<Item = (PathBuf, Vec<u8>)> + 'a {
        let own = self.gathered.facts.text(Field::CONTAINER_NAME).filter(|name| names::is_label(name));
        let container = options.container().or(own);
        options.out.iter().filter_map(move |out| match out.path_for(container) {
            Some(path) => Some((path, out.format.render(&self.document()))),
            None => {
                log::warn!(
                    "{} is not written: the name of the container is not known; add --container NAME",
                    out.path.display()
                );
                None
            }
        })
    }

    /// Writes the files of `--out`.
    pub(super) fn write_files(&self, options: &Options) -> Result<(), CommandError> {
        for (path, content) in self.files(options) {
            files::replace(&path, &content, options.mode())?;
        }
        Ok(())
    }
}
