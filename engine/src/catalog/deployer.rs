//! The way in: what people want is checked whole, then written to the log.
//!
//! One decision is taken at a time: each is checked beside all those before it. An answer comes once
//! the record is on disk. A package of the server's folder is the folder's: it is replaced by
//! [`Deployer::take_folder`] only. A name is that of one package for all sites, or of one for each site,
//! never both: the rules of both would see the same events under one name.

use super::admission::{Admission, NotAdmitted};
use super::compiler::{Compiled, Compiler};
use crate::log::{
    Control, Deployment, Log, NewRecord, Owner, PackageKey, PauseKey, RecordBody, Refused, Standing,
};
use crate::model::Epoch;
use beckon_rules::diagnostic::Severity;
use beckon_rules::plan::RuleSet;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A package of the server's folder.
#[derive(Clone, Debug)]
pub struct FolderPackage {
    /// Its name.
    pub name: Arc<str>,
    /// Its files, by name.
    pub files: BTreeMap<Arc<str>, Arc<str>>,
}

/// What a deployment came to.
#[derive(Debug)]
pub struct Deployed {
    /// All that stands now, with warnings.
    pub compiled: Arc<Compiled>,
    /// The same package stood before, word for word: nothing was written.
    pub is_unchanged: bool,
}

/// Why nothing was deployed, removed or paused.
#[derive(Debug)]
pub enum NotDeployed {
    /// A package has an error, this one or one that it contradicts.
    Wrong(Arc<Compiled>),
    /// The package is the folder's.
    OfFolder(PackageKey),
    /// The name stands for a package of another reach: of all sites, or of single ones.
    Taken(PackageKey),
    /// There is no such package.
    Unknown(PackageKey),
    /// The package is right, and something behind the engine cannot live with it.
    NotAdmitted(NotAdmitted),
    /// The log did not take the record.
    Log(Refused),
}

impl fmt::Display for NotDeployed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(compiled) => {
                let errors = compiled.diagnostics.iter();
                let count = errors.filter(|found| found.severity == Severity::Error).count();
                write!(f, "{count} {}", if count == 1 { "error" } else { "errors" })
            }
            Self::OfFolder(key) => write!(f, "the package {key} is that of the server's folder"),
            Self::Taken(key) => write!(f, "the name is that of the package {key}"),
            Self::Unknown(key) => write!(f, "there is no package {key}"),
            Self::NotAdmitted(refused) => f.write_str(&refused.message),
            Self::Log(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for NotDeployed {}

/// What is on disk.
#[derive(Debug)]
struct Head {
    standing: Standing,
    compiled: Arc<Compiled>,
}

/// Takes decisions into the log. Its calls block on the disk.
#[derive(Debug)]
pub struct Deployer {
    log: Arc<dyn Log>,
    compiler: Arc<Compiler>,
    admission: Option<Arc<dyn Admission>>,
    /// Held while a decision is taken.
    deciding: Mutex<()>,
    head: Mutex<Head>,
}

impl Deployer {
    /// A deployer behind what stands in the log.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, compiler: Arc<Compiler>, standing: Standing) -> Self {
        let compiled = compiler.compile(&standing.packages);
        let head = Mutex::new(Head { standing, compiled });
        Self { log, compiler, admission: None, deciding: Mutex::default(), head }
    }

    /// The same, for one who must admit what is deployed from now on, and is told what stands.
    #[must_use]
    pub fn admitting(mut self, admission: Arc<dyn Admission>) -> Self {
        admission.stand(&RuleSet::default(), &self.compiled().rules);
        self.admission = Some(admission);
        self
    }

    /// What compiles for it.
    #[cfg(test)]
    pub(super) fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands deployed and paused.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.head().standing.clone()
    }

    /// What came of it.
    #[must_use]
    pub fn compiled(&self) -> Arc<Compiled> {
        Arc::clone(&self.head().compiled)
    }

    /// Checks a package beside all others and deploys it.
    ///
    /// # Errors
    /// [`NotDeployed`]; what ran before runs on.
    pub fn deploy(&self, key: PackageKey, deployment: Deployment) -> Result<Deployed, NotDeployed> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = self.standing();
        check_owner(&standing, &key)?;
        let is_other = |other: &&PackageKey| {
            other.name == key.name && other.site.is_some() != key.site.is_some()
        };
        if let Some(other) = standing.packages.keys().find(is_other) {
            return Err(NotDeployed::Taken(other.clone()));
        }
        let is_same = |now: &Arc<Deployment>| {
            now.files == deployment.files && now.is_operator == deployment.is_operator
        };
        if standing.packages.get(&key).is_some_and(is_same) {
            return Ok(Deployed { compiled: self.compiled(), is_unchanged: true });
        }
        let compiled = self.decide(vec![Control::Deploy(key, Arc::new(deployment))])?;
        Ok(Deployed { compiled, is_unchanged: false })
    }

    /// Removes a package.
    ///
    /// # Errors
    /// [`NotDeployed`].
    pub fn remove(&self, key: PackageKey, by: Arc<str>) -> Result<(), NotDeployed> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = self.standing();
        check_owner(&standing, &key)?;
        if !standing.packages.contains_key(&key) {
            return Err(NotDeployed::Unknown(key));
        }
        self.decide(vec![Control::Remove(key, by)]).map(drop)
    }

    /// Pauses what the key says; what is paused is recorded and does not act. A package must be there:
    /// who mistypes its name would believe that it is quiet.
    ///
    /// # Errors
    /// [`NotDeployed::Unknown`], [`NotDeployed::Log`].
    pub fn pause(&self, key: PauseKey, by: Arc<str>) -> Result<(), NotDeployed> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = &key.package {
            let standing = self.standing();
            let is_it = |package: &PackageKey| {
                package.name == *name && package.concerns(key.site.as_deref())
            };
            if !standing.packages.keys().any(is_it) {
                let (name, site) = (Arc::clone(name), key.site);
                return Err(NotDeployed::Unknown(PackageKey { name, site }));
            }
        }
        self.decide(vec![Control::Pause(key, by)]).map(drop)
    }

    /// Lets what the key says act again.
    ///
    /// # Errors
    /// [`NotDeployed::Log`].
    pub fn resume(&self, key: PauseKey, by: Arc<str>) -> Result<(), NotDeployed> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.decide(vec![Control::Resume(key, by)]).map(drop)
    }

    /// Takes the packages of the server's folder as they are now: those that changed are deployed,
    /// those that are gone removed, and a package of the same name that came otherwise gives way.
    /// Returns how many decisions that took.
    ///
    /// # Errors
    /// [`NotDeployed`]; then none of it was taken.
    pub fn take_folder(&self, packages: Vec<FolderPackage>) -> Result<usize, NotDeployed> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = self.standing();
        let by: Arc<str> = "folder".into();
        let is_there = |name: &str| packages.iter().any(|package| *package.name == *name);
        let gone = standing.packages.iter().filter(|(key, deployment)| {
            let is_in_folder = is_there(&key.name);
            if key.site.is_some() {
                is_in_folder
            } else {
                deployment.owner == Owner::Folder && !is_in_folder
            }
        });
        let mut controls: Vec<Control> =
            gone.map(|(key, _)| Control::Remove(key.clone(), Arc::clone(&by))).collect();
        for FolderPackage { name, files } in packages {
            let key = PackageKey { name, site: None };
            let by = Arc::clone(&by);
            let deployment = Deployment { owner: Owner::Folder, is_operator: true, by, files };
            if standing.packages.get(&key).is_none_or(|now| **now != deployment) {
                controls.push(Control::Deploy(key, Arc::new(deployment)));
            }
        }
        let count = controls.len();
        if count > 0 {
            self.decide(controls)?;
        }
        Ok(count)
    }

    /// Checks what would stand, writes the decisions next to each other, and waits for the disk.
    fn decide(&self, controls: Vec<Control>) -> Result<Arc<Compiled>, NotDeployed> {
        let (mut standing, before) = {
            let head = self.head();
            (head.standing.clone(), Arc::clone(&head.compiled))
        };
        controls.iter().for_each(|control| standing.apply(control));
        let compiled = self.compiler.compile(&standing.packages);
        // One that was broken before does not keep others from being deployed.
        if !compiled.broken.is_subset(&before.broken) || controls.iter().any(|control| {
            matches!(control, Control::Deploy(key, _) if compiled.broken.contains(key))
        }) {
            return Err(NotDeployed::Wrong(compiled));
        }
        if let Some(admission) = &self.admission {
            let admitted = admission.admit(&before.rules, &compiled.rules);
            admitted.map_err(NotDeployed::NotAdmitted)?;
        }
        if controls.iter().any(|it| matches!(it, Control::Deploy(..) | Control::Remove(..))) {
            let last = self.log.durable().map_or(Epoch(0), |mark| mark.epoch);
            self.compiler.guess(&compiled.rules, last);
        }
        let records = controls.into_iter().map(|control| NewRecord {
            site: "".into(),
            visitor_hash: 0,
            dedup: None,
            body: RecordBody::Control(Arc::new(control)),
        });
        let (said, on_disk) = sync_channel(1);
        let done = Box::new(move |answer| drop(said.send(answer)));
        self.log.append(records.collect(), done).map_err(NotDeployed::Log)?;
        on_disk.recv().unwrap_or(Err(Refused::Closed)).map_err(NotDeployed::Log)?;
        if let Some(admission) = &self.admission {
            admission.stand(&before.rules, &compiled.rules);
        }
        *self.head() = Head { standing, compiled: Arc::clone(&compiled) };
        Ok(compiled)
    }
}

fn check_owner(standing: &Standing, key: &PackageKey) -> Result<(), NotDeployed> {
    let of_folder = |(other, deployment): &(&PackageKey, &Arc<Deployment>)| {
        other.name == key.name && deployment.owner == Owner::Folder
    };
    match standing.packages.iter().find(of_folder) {
        Some((other, _)) => Err(NotDeployed::OfFolder(other.clone())),
        None => Ok(()),
    }
}
