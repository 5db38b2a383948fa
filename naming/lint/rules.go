package lint

// A Rule is one point of the standard.
type Rule struct {
	ID, Name string
	Severity Severity
	Why      string // what goes wrong where it is broken
	Example  string
	Fix      string
}

var ruleTable = []Rule{
	{"WX101", "instance-md5-drift", Error, "One instance of a version that is configured otherwise behaves otherwise; scaling out copies an unknown one.", "cache.ttl is 90 on prod/checkout-3 and 60 on the other eleven.", "Make the file the same on all instances; what must differ goes to the name service."},
	{"WX102", "env-md5-drift", Error, "What was tested is not what runs: the environments have different files.", "pool.size is 10 in test and 50 in prod.", "Keep one file for all environments and resolve what must differ by name at run time."},
	{"WX103", "bytes-differ-meaning-equal", Warning, "Bytes differ and meaning does not, so MD5 can no longer prove that nothing else differs.", "Two keys changed places; a comment was added by hand.", "Copy the file of the majority over the odd one."},
	{"WX104", "version-skew", Info, "Two versions run at once. That is right during a gray release and a surprise afterwards.", "checkout runs in 1.4.1 and 1.4.2.", "Finish or undo the release."},
	{"WX105", "key-set-drift", Error, "A key that only some copies have is set by hand, or forgotten.", "cache.ttl is missing on dev.", "Add the key everywhere or nowhere."},
	{"WX201", "own-ip", Error, "A file with the instance's own address cannot be the same on two instances.", "listen: 10.16.1.11 on the instance that has this address.", "Listen on a wildcard address, or ask the system for the address at start."},
	{"WX202", "own-hostname", Error, "A file with the instance's own host name cannot be the same on two instances.", "node: checkout-prod-3.idc1.local", "Ask the system for the host name at start."},
	{"WX203", "own-index", Error, "A file with the instance's own number cannot be the same on two instances.", "id: checkout-3 on checkout-3", "Let the name service hand out numbers."},
	{"WX204", "per-instance-file", Warning, "A file named after its instance has to be made by hand for each new one.", "conf/checkout-3.yaml", "Name the file alike everywhere."},
	{"WX301", "env-name-literal", Error, "A value that names an environment makes the file belong to it.", "profile: prod, or mq.prod.corp.local in every environment", "Refer to the thing by a name that every environment resolves for itself."},
	{"WX302", "env-endpoint-literal", Error, "An address of one environment makes the file belong to it.", "db: db.prod.corp.local:3306", "Refer to the database by name: ns/checkout.db."},
	{"WX303", "wrong-env-reference", Error, "One environment points at another: production at test data, or a test at production.", "db.test.corp.local in the files of prod", "Correct the address, then replace it by a name."},
	{"WX304", "env-conditional", Warning, "A file that decides by the environment is two files in one, and only one of them is tested.", "{{ if eq .Values.env \"prod\" }}", "Move the decision into a value that the name service gives."},
	{"WX401", "shared-item-duplicated", Warning, "An item that many services copy is changed in most of them and forgotten in one.", "The same four tracing keys in twelve services.", "Name the item once: include: ns/shared.tracing."},
	{"WX402", "shared-item-drift", Error, "A copy of a shared item differs from the others: somebody forgot it, or changed it alone.", "sampler_name differs in one of twelve services.", "Take the value of the others, then name the item once."},
	{"WX403", "overlay-factor-out", Info, "What every overlay repeats will differ one day.", "replicas: 2 in all eleven overlays.", "Move it into the base."},
	{"WX501", "missing", Error, "An instance without a file runs on defaults nobody chose.", "conf/server.ini is missing on prod/checkout-3.", "Copy the file from any other instance."},
	{"WX502", "extra", Warning, "A file that only some instances have may override the others.", "conf/zz_override.yaml on one instance", "Delete it, or deploy it everywhere."},
	{"WX503", "renamed", Error, "The file is there under another name, so the service does not read it.", "app.yaml.bak with the MD5 of app.yaml", "Give it its name back."},
	{"WX504", "mode", Error, "Other permissions: unreadable for the service, or writable for everybody.", "0666 on one instance, 0644 on eleven", "chmod it as the others; --fix does."},
	{"WX505", "symlink", Error, "A link, device or pipe has no bytes of its own to compare; it was not opened.", "conf/app.yaml -> ../app.yaml", "Put the file itself there."},
	{"WX506", "line-endings", Error, "Other line ends are invisible in a review and end up in values.", "CRLF on one instance", "--fix converts them."},
	{"WX507", "bom", Error, "A byte order mark becomes part of the first key for many readers.", "EF BB BF before the first key", "--fix removes it."},
	{"WX508", "encoding", Error, "Bytes that are no UTF-8 read differently everywhere.", "a comment in ISO 8859-1", "Convert the file to UTF-8."},
	{"WX509", "final-newline", Info, "A missing final newline joins with what is appended.", "no newline at the end on one instance", "--fix adds it."},
	{"WX510", "layout", Error, "A file outside of the layout is compared with nothing.", "checkout/prod/notes.yaml", "Move it below conf, or name its layout with --layout."},
	{"WX511", "editor-leftover", Warning, "What an editor left behind may be read by a service that reads a whole directory.", "app.yaml~", "Delete it."},
	{"WX512", "parse-error", Error, "A file that cannot be read keeps the service from starting.", "a brace that nothing closes", "Correct it at the line and column given."},
	{"WX513", "duplicate-key", Error, "Of two values for one key each reader takes another one, and most readers are silent.", "port: 80 and, further down, port: 8080", "Delete one."},
	{"WX601", "hard-coded-backend", Error, "A backend with an address in the file cannot move or fail over.", "db: 10.201.3.4:3306", "Refer to it by name."},
	{"WX602", "secret", Error, "A credential in the clear is known to everybody who reads the tree. Its value is never printed.", "db_password with a literal value", "Change the credential, then refer to a secret store."},
	{"WX603", "placeholder-credential", Warning, "A placeholder in production is a password that everybody knows.", "password: changeme", "Refer to a secret store."},
	{"WX604", "unknown-name", Warning, "A name that is not registered resolves to nothing.", "ns/chekout.db", "Register the name, or correct it."},
	{"WX701", "access-holds-data", Error, "The access layer is moved at any time, so it holds no data.", "tier: access, data: cache-long", "Move the data to the storage layer."},
	{"WX702", "logic-persists", Error, "The logic layer is scaled by adding and removing instances, so it keeps nothing.", "tier: logic, data: persistent", "Move the data to the storage layer."},
	{"WX703", "storage-not-persistent", Error, "The storage layer is where data lives; one without data is misplaced.", "tier: storage, data: none", "Declare data: persistent, or the layer the service belongs to."},
	{"WX704", "long-cache", Warning, "A long cache in the logic layer is a store that nobody backs up and that empties when instances change.", "tier: logic, cache_ttl: 30d", "Shorten it, or move it to the storage layer."},
	{"WX801", "slice-missing", Error, "Without a slice nobody knows what an instance needs, so nobody can place one.", "tier: logic without slice", "Declare one of the standard slices."},
	{"WX802", "slice-not-standard", Error, "Slices of any size fragment the hosts.", "slice: 3c5g", "Use the next standard slice."},
	{"WX803", "logic-not-on-cloud", Error, "The deployment gate: a logic service runs on the cloud, where it is scaled without its owners.", "tier: logic, cloud: false", "Move it, or add a waiver with reason and expiry to service.yaml."},
	{"WX804", "cloud-unwanted", Warning, "Access and storage stay on hosts of their own.", "tier: storage, cloud: true", "Set cloud: false."},
	{"WX901", "stale-baseline", Warning, "A baseline entry that matches nothing hides the next finding of its kind.", "an entry whose finding was fixed", "Write the baseline anew."},
	{"WX902", "unused-suppression", Warning, "A suppression that matches nothing hides the next finding of its kind.", "a suppression of a key that is gone", "Delete it."},
	{"WX903", "expired-waiver", Error, "What was allowed for a time is not allowed any more.", "until: 2025-12-31", "Do what the waiver bought time for, or decide anew."},
}

// Rules returns every rule in the order of ids.
func Rules() []Rule { return ruleTable }

func severityOf(id string) Severity {
	for _, r := range ruleTable {
		if r.ID == id {
			return r.Severity
		}
	}
	return Error
}
