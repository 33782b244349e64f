//! VMs: of which network, on which host, in which state. Must not know how a network is set up.

/// A VM.
#[derive(Clone, Debug)]
pub struct Vm {
    /// Its network.
    pub network: usize,
    /// The host that it runs on.
    pub host: usize,
    /// Its VIF, while it is plugged.
    pub vif: Option<String>,
    /// Grows when the VM is lost with its host: whoever was about to do something with it lets it be.
    pub lives: u64,
}

/// All VMs of a zone.
#[derive(Debug, Default)]
pub struct Vms {
    all: Vec<Option<Vm>>,
    /// Those that run and are not about to move.
    free: Vec<usize>,
}

impl Vms {
    /// A VM that is about to start; gives its number.
    pub fn begin(&mut self, network: usize, host: usize) -> usize {
        self.all.push(Some(Vm { network, host, vif: None, lives: 0 }));
        self.all.len() - 1
    }

    /// A VM, if it is still there.
    pub fn get(&self, vm: usize) -> Option<&Vm> {
        self.all.get(vm)?.as_ref()
    }

    /// Whether a VM is still there and in the life that it was in.
    pub fn lives(&self, vm: usize, life: u64) -> bool {
        self.get(vm).is_some_and(|vm| vm.lives == life)
    }

    /// It runs on a host, with its VIF plugged.
    pub fn run(&mut self, vm: usize, host: usize, vif: String) {
        if let Some(Some(there)) = self.all.get_mut(vm) {
            (there.host, there.vif) = (host, Some(vif));
            self.free.push(vm);
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.free.len()
    }

    /// Takes the `n`th of those that run: nobody else does anything with it.
    pub fn take(&mut self, n: usize) -> usize {
        self.free.swap_remove(n)
    }

    /// One that was taken stays where it is.
    pub fn give_back(&mut self, vm: usize) {
        self.free.push(vm);
    }

    /// One that was taken is no more.
    pub fn end(&mut self, vm: usize) -> Option<Vm> {
        self.all.get_mut(vm)?.take()
    }

    /// Takes all VMs of a host that has failed, wherever they were in their lives.
    pub fn lose(&mut self, host: usize) -> Vec<usize> {
        let on_it = |vm: &Option<Vm>| vm.as_ref().is_some_and(|vm| vm.host == host);
        let lost: Vec<usize> = (0..self.all.len()).filter(|vm| on_it(&self.all[*vm])).collect();
        for vm in &lost {
            if let Some(there) = &mut self.all[*vm] {
                there.lives += 1;
                there.vif = None;
            }
        }
        self.free.retain(|vm| !on_it(&self.all[*vm]));
        lost
    }

    /// How many VMs with a VIF a host has of a network.
    pub fn plugged(&self) -> std::collections::HashMap<(usize, usize), usize> {
        let mut plugged = std::collections::HashMap::new();
        for vm in self.all.iter().flatten().filter(|vm| vm.vif.is_some()) {
            *plugged.entry((vm.host, vm.network)).or_default() += 1;
        }
        plugged
    }
}
