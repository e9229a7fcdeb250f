//! Files from templates: `--template`, `--file`.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::OFlag;

use super::for_container;
use crate::sources::volume::{DATA, settled};
use crate::system::root::Directory;
use crate::variables::Run;
use crate::variables::value::template::{Template, Unknown};

/// The largest template, in bytes.
const TEMPLATE_LIMIT: usize = 1 << 20;
/// The largest size of all templates together, and of all files that are made from them, in bytes.
pub(crate) const TOTAL_LIMIT: usize = 8 << 20;

/// A template for a file.
#[derive(Clone, Debug)]
pub(crate) struct FileTemplate {
    /// The name of the template, for messages.
    pub(crate) name: String,
    /// The file to write; `None` if the result is printed.
    pub(crate) target: Option<PathBuf>,
    /// The file's directory is created if it does not exist.
    pub(crate) creates_directory: bool,
    /// The text is the value of an option. The kubelet may have expanded a secret in it, so no message contains it.
    is_of_option: bool,
    pub(crate) template: Rc<Template>,
}

/// A file cannot be made from a template.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("--template {file}: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("--template {file} has more than 1 MiB, or all templates have more than 8 MiB")]
    TooLarge { file: String },
    #[error("--template {file} would be written over itself")]
    Itself { file: String },
    #[error("{file} would be written twice: --out, --template and --file must name different files")]
    Twice { file: String },
    #[error("{file} is not written: the name of the container is not known; add --container NAME")]
    NoContainer { file: String },
    #[error("{file}, line {line}: {problem}")]
    Malformed { file: String, line: usize, problem: String },
    #[error("{file}, line {line}: {reference}: {why}")]
    Unknown { file: String, line: usize, reference: String, why: String },
    #[error("{file}: the files from templates have more than 8 MiB together")]
    TooLong { file: String },
}

impl TemplateError {
    /// Whether the usage is wrong, whatever the pod knows.
    pub(crate) fn is_of_usage(&self) -> bool {
        use TemplateError::{Itself, Malformed, TooLarge, Twice};
        matches!(self, TooLarge { .. } | Itself { .. } | Twice { .. } | Malformed { .. })
    }
}

/// The templates of `--template` (pairs of IN and OUT) and of `--file`, as they are now.
///
/// # Errors
/// A template cannot be read, or is not valid; a file would be written twice, also with `others`.
pub(crate) fn load<'a>(
    pairs: &[(PathBuf, Option<PathBuf>)],
    texts: &[FileTemplate],
    others: impl Iterator<Item = &'a PathBuf>,
) -> Result<Vec<FileTemplate>, TemplateError> {
    let mut templates = Vec::new();
    for (input, output) in pairs {
        templates.extend(FileTemplate::read(input, output.as_deref())?);
    }
    templates.extend(texts.iter().cloned());
    let mut left = TOTAL_LIMIT;
    let mut seen = BTreeSet::new();
    // Without `.` and repeated slashes.
    let path = |target: &PathBuf| target.components().collect::<PathBuf>();
    seen.extend(others.map(path));
    for template in &templates {
        let file = || template.name.clone();
        left = left
            .checked_sub(template.template.text().len())
            .ok_or_else(|| TemplateError::TooLarge { file: file() })?;
        if let Some(target) = template.target.as_ref().filter(|target| !seen.insert(path(target))) {
            return Err(TemplateError::Twice { file: target.display().to_string() });
        }
    }
    Ok(templates)
}

impl FileTemplate {
    /// The template of `--file OUT=TEXT`. The file ends in a newline.
    pub(crate) fn of_text(target: PathBuf, text: &str) -> Result<Self, TemplateError> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let name = format!("--file {}", target.display());
        let template = FileTemplate::new(name, Some(target), format!("{text}{end}").into_bytes())?;
        Ok(FileTemplate { is_of_option: true, ..template })
    }

    fn new(name: String, target: Option<PathBuf>, text: Vec<u8>) -> Result<Self, TemplateError> {
        let (template, errors) = Template::parse(text);
        let Some(error) = errors.into_iter().next() else {
            let template = Rc::new(template);
            return Ok(FileTemplate {
                name,
                target,
                creates_directory: false,
                is_of_option: false,
                template,
            });
        };
        let line = 1 + template.text()[..error.offset].iter().filter(|byte| **byte == b'\n').count();
        Err(TemplateError::Malformed { file: name, line, problem: error.problem.to_string() })
    }

    /// The templates of `--template IN:OUT`: the file IN, or each file in the directory IN. All files of a volume have
    /// the same version.
    ///
    /// # Errors
    /// A template cannot be read, or is not valid.
    fn read(input: &Path, output: Option<&Path>) -> Result<Vec<Self>, TemplateError> {
        let path = std::path::absolute(input).unwrap_or_else(|_| input.to_owned());
        let volume = path.ancestors().find(|above| above.join(DATA).is_symlink());
        match volume.and_then(|volume| Directory::open(volume).ok()) {
            Some(volume) => settled(&volume, || FileTemplate::read_once(input, output))
                .map_err(|source| TemplateError::Unreadable { file: input.display().to_string(), source })?,
            None => FileTemplate::read_once(input, output),
        }
    }

    fn read_once(input: &Path, output: Option<&Path>) -> Result<Vec<Self>, TemplateError> {
        let failed = |source| TemplateError::Unreadable { file: input.display().to_string(), source };
        if !fs::metadata(input).map_err(failed)?.is_dir() {
            return Ok(vec![FileTemplate::of_file(input, input, output.map(Path::to_owned))?]);
        }
        // Not by the volume's own links: they lead to another version after a swap.
        let directory = fs::canonicalize(input.join(DATA)).unwrap_or_else(|_| input.to_owned());
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let name = PathBuf::from(entry.map_err(failed)?.file_name());
            let is_hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
            if !is_hidden && !directory.join(&name).is_dir() {
                names.insert(name);
            }
        }
        let of_file = |name: &PathBuf| {
            let target = output.map(|output| output.join(name));
            let template = FileTemplate::of_file(&directory.join(name), &input.join(name), target)?;
            Ok(FileTemplate { creates_directory: true, ..template })
        };
        names.iter().map(of_file).collect()
    }

    /// The template at `path`, which its author knows as `name`.
    fn of_file(path: &Path, name: &Path, target: Option<PathBuf>) -> Result<Self, TemplateError> {
        let name = name.display().to_string();
        let existing = target.as_ref().and_then(|target| fs::canonicalize(target).ok());
        if existing.is_some_and(|target| fs::canonicalize(path).is_ok_and(|path| path == target)) {
            return Err(TemplateError::Itself { file: name });
        }
        match read(path) {
            Ok(text) if text.len() > TEMPLATE_LIMIT => Err(TemplateError::TooLarge { file: name }),
            Ok(text) => FileTemplate::new(name, target, text),
            Err(source) => Err(TemplateError::Unreadable { file: name, source }),
        }
    }

    /// The file to write for this container.
    ///
    /// # Errors
    /// The container's name is needed and is not known.
    pub(crate) fn path_for(&self, container: Option<&str>) -> Result<PathBuf, TemplateError> {
        let target = self.target.clone().unwrap_or_default();
        for_container(&target, container)
            .ok_or_else(|| TemplateError::NoContainer { file: target.display().to_string() })
    }

    /// The content of the file, which may have `limit` bytes, and whether something private is in it.
    ///
    /// # Errors
    /// Each reference that is not known, and why.
    pub(crate) fn render(
        &self,
        run: &Run,
        hides_private: bool,
        limit: usize,
    ) -> Result<(Vec<u8>, bool), Vec<TemplateError>> {
        let lookup = run.lookup();
        let file = || self.name.clone();
        let Some(rendered) = self.template.render(&lookup, hides_private, limit) else {
            return Err(vec![TemplateError::TooLong { file: file() }]);
        };
        let error = |unknown: &Unknown| TemplateError::Unknown {
            file: file(),
            line: unknown.line,
            reference: if self.is_of_option { "a reference" } else { unknown.text }.to_owned(),
            why: run.reasons(&unknown.why),
        };
        let errors: Vec<_> = rendered.unknown.iter().map(error).collect();
        if errors.is_empty() { Ok((rendered.text, rendered.is_private)) } else { Err(errors) }
    }
}

/// The content of a regular file, up to one byte more than a template may have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // It does not wait for the other end of a FIFO.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(TEMPLATE_LIMIT as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
