BEGIN TRANSACTION;
CREATE TABLE attempts (
	interaction_id VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	tier VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	started_at FLOAT NOT NULL, 
	latency_ms FLOAT NOT NULL, 
	status INTEGER, 
	error VARCHAR, 
	prompt_tokens BIGINT, 
	completion_tokens BIGINT, 
	cached_tokens BIGINT, 
	cost_usd BIGINT, 
	upstream_model VARCHAR, 
	reasoning_tokens BIGINT, 
	audio_prompt_tokens BIGINT, 
	audio_completion_tokens BIGINT, 
	basis VARCHAR DEFAULT 'legacy' NOT NULL, 
	rates JSON, 
	held_usd BIGINT, 
	PRIMARY KEY (interaction_id, n), 
	FOREIGN KEY(interaction_id) REFERENCES interactions (id) ON DELETE CASCADE
);
INSERT INTO "attempts" VALUES('i1',0,'teacher','teacher','answer',99.5,480.25,200,NULL,120,7,20,123456789,'big-70b-2026',0,0,0,'legacy',NULL,NULL);
INSERT INTO "attempts" VALUES('i3',0,'teacher','teacher','answer',99.5,480.25,200,NULL,120,7,20,123456789,'big-70b-2026',0,0,0,'legacy',NULL,NULL);
CREATE TABLE cycles (
	seq INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	workload VARCHAR NOT NULL, 
	started_at FLOAT NOT NULL, 
	ended_at FLOAT, 
	outcome VARCHAR, 
	detail JSON NOT NULL, 
	answers_seen INTEGER NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "cycles" VALUES(1,'cyc_6a0314eb73b0edeb','support',200.0,200.0,'promoted','{"sentence":"support: 2 answers.","steps":[{"name":"reading","seconds":0.5}]}',2);
CREATE TABLE feedback (
	interaction_id VARCHAR NOT NULL, 
	score FLOAT, 
	correction VARCHAR, 
	label JSON, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (interaction_id), 
	FOREIGN KEY(interaction_id) REFERENCES interactions (id) ON DELETE CASCADE
);
INSERT INTO "feedback" VALUES('i1',-1.0,'returns',NULL,200.0);
CREATE TABLE interactions (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	workload VARCHAR NOT NULL, 
	tenant VARCHAR NOT NULL, 
	key_name VARCHAR NOT NULL, 
	train_ok BOOLEAN NOT NULL, 
	trainable BOOLEAN NOT NULL, 
	stored BOOLEAN NOT NULL, 
	stream BOOLEAN NOT NULL, 
	tier VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	release VARCHAR, 
	confidence FLOAT, 
	threshold FLOAT, 
	level INTEGER, 
	propensity FLOAT NOT NULL, 
	floor FLOAT NOT NULL, 
	seen BOOLEAN NOT NULL, 
	agreed BOOLEAN, 
	draft_agreed BOOLEAN, 
	cost_usd BIGINT, 
	teacher_cost_usd BIGINT, 
	teacher_cost_estimated BOOLEAN NOT NULL, 
	latency_ms FLOAT NOT NULL, 
	overhead_ms FLOAT NOT NULL, 
	teacher_model VARCHAR, 
	teacher_version VARCHAR, 
	"group" VARCHAR NOT NULL, 
	comparer VARCHAR NOT NULL, 
	settings_digest VARCHAR NOT NULL, 
	evidence JSON NOT NULL, 
	input_text VARCHAR NOT NULL, 
	answer JSON, 
	teacher_answer JSON, 
	draft JSON, 
	trace JSON NOT NULL, 
	request JSON, 
	UNIQUE (id)
);
INSERT INTO "interactions" VALUES(1,'i1',100.0,'support','shop','shop',1,1,1,0,'teacher','teacher','observe','ok',NULL,NULL,NULL,NULL,1.0,1.0,1,NULL,NULL,123456789,123456789,0,481.0,0.75,'teacher','big-70b-2026','g1','label','abc','{}','Where is my parcel?','{"content":"delivery"}','{"content":"delivery"}',NULL,'[{"tier":"teacher","reason":"observe","propensity":1.0}]','{"messages":[{"role":"user","content":"Where is my parcel?"}]}');
INSERT INTO "interactions" VALUES(2,'i2',100.0,'support','shop','shop',1,0,1,0,'student','student','certified','ok','r1',0.97,0.9,3,0.9,0.1,0,NULL,NULL,0,123456789,1,6.5,0.75,'teacher','big-70b-2026','g1','label','abc','{}','Where is my parcel?','{"content":"delivery"}',NULL,'{"content":"delivery"}','[{"tier":"teacher","reason":"observe","propensity":1.0}]','{"messages":[{"role":"user","content":"Where is my parcel?"}]}');
INSERT INTO "interactions" VALUES(3,'i3',100.0,'support','shop','shop',1,1,1,1,'teacher','teacher','observe','ok',NULL,NULL,NULL,NULL,1.0,1.0,1,NULL,NULL,123456789,123456789,0,481.0,0.75,'teacher','big-70b-2026','g1','label','abc','{}','Where is my parcel?','{"content":"delivery"}','{"content":"delivery"}',NULL,'[{"tier":"teacher","reason":"observe","propensity":1.0}]','{"messages":[{"role":"user","content":"Where is my parcel?"}]}');
CREATE TABLE keys (
	name VARCHAR NOT NULL, 
	tenant VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	train_on BOOLEAN NOT NULL, 
	budget_usd BIGINT, 
	budget_per VARCHAR, 
	requests_per_minute BIGINT, 
	tokens_per_minute BIGINT, 
	scopes JSON NOT NULL, 
	previous_sha256 VARCHAR, 
	previous_until FLOAT, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT, 
	revoked_at FLOAT, 
	PRIMARY KEY (name)
);
CREATE TABLE ledger (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	interaction_id VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	tenant VARCHAR NOT NULL, 
	key_name VARCHAR NOT NULL, 
	workload VARCHAR NOT NULL, 
	tier VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	prompt_tokens BIGINT, 
	completion_tokens BIGINT, 
	cached_tokens BIGINT, 
	reasoning_tokens BIGINT, 
	audio_prompt_tokens BIGINT, 
	audio_completion_tokens BIGINT, 
	basis VARCHAR NOT NULL, 
	rates JSON, 
	cost_usd BIGINT, 
	held_usd BIGINT, 
	detached BOOLEAN NOT NULL, 
	seal VARCHAR NOT NULL
);
INSERT INTO "ledger" VALUES(1,'i1',0,99.5,'shop','shop','support','teacher','teacher','answer',120,7,20,0,0,0,'legacy',NULL,123456789,NULL,0,'c6d13da37fca2c8e8dc9116a9eda1b4500eaee3b2981a7bbb437ff7ca9f05419');
INSERT INTO "ledger" VALUES(2,'i3',0,99.5,'shop','shop','support','teacher','teacher','answer',120,7,20,0,0,0,'legacy',NULL,123456789,NULL,0,'6eab05b045394618b6963cd2006743f4127a5e17713ba79acd00424252666309');
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','2');
INSERT INTO "meta" VALUES('ledger_seal','6eab05b045394618b6963cd2006743f4127a5e17713ba79acd00424252666309');
CREATE TABLE policy_versions (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	workload VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	change JSON, 
	author VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	at FLOAT NOT NULL
);
CREATE TABLE promise_state (
	workload VARCHAR NOT NULL, 
	terms VARCHAR NOT NULL, 
	state JSON NOT NULL, 
	upto_seq BIGINT NOT NULL, 
	PRIMARY KEY (workload)
);
INSERT INTO "promise_state" VALUES('support','t','{"a":1}',3);
CREATE TABLE release_events (
	seq INTEGER NOT NULL, 
	workload VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(digest) REFERENCES releases (digest)
);
INSERT INTO "release_events" VALUES(1,'support','r1','promoted','it agrees more often',200.0);
CREATE TABLE releases (
	digest VARCHAR NOT NULL, 
	workload VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	promoted_at FLOAT, 
	report JSON NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "releases" VALUES('r1','support',1,'active','/nowhere',200.0,200.0,'{}');
CREATE TABLE rollups (
	chunk BIGINT NOT NULL, 
	workload VARCHAR NOT NULL, 
	interactions INTEGER NOT NULL, 
	by_recall INTEGER NOT NULL, 
	by_student INTEGER NOT NULL, 
	by_teacher INTEGER NOT NULL, 
	errors INTEGER NOT NULL, 
	cost_usd BIGINT, 
	priced INTEGER NOT NULL, 
	teacher_cost_usd BIGINT, 
	teacher_priced INTEGER NOT NULL, 
	teacher_estimated INTEGER NOT NULL, 
	compared_cost_usd BIGINT, 
	compared_teacher_cost_usd BIGINT, 
	answered INTEGER NOT NULL, 
	served INTEGER NOT NULL, 
	measured INTEGER NOT NULL, 
	weight FLOAT NOT NULL, 
	wrong_weight FLOAT NOT NULL, 
	first_at FLOAT, 
	last_at FLOAT, 
	stale BOOLEAN NOT NULL, 
	PRIMARY KEY (chunk, workload)
);
CREATE INDEX ix_interactions_created_at ON interactions (created_at);
CREATE INDEX ix_interactions_trainable ON interactions (workload, trainable, seq);
CREATE INDEX ix_interactions_workload_seq ON interactions (workload, seq);
CREATE INDEX ix_interactions_search ON interactions (seq, workload, tier, reason, status, agreed, draft_agreed, cost_usd);
CREATE INDEX ix_rollups_stale ON rollups (stale);
CREATE INDEX ix_ledger_spent ON ledger (key_name, tenant, workload, at, basis, cost_usd);
CREATE UNIQUE INDEX ix_ledger_attempt ON ledger (interaction_id, n);
CREATE INDEX ix_ledger_key ON ledger (key_name, at);
CREATE INDEX ix_ledger_at ON ledger (at);
CREATE UNIQUE INDEX ix_releases_workload_number ON releases (workload, number);
CREATE UNIQUE INDEX ix_releases_active ON releases (workload) WHERE state = 'active';
CREATE INDEX ix_cycles_workload ON cycles (workload);
CREATE UNIQUE INDEX ix_policy_versions ON policy_versions (workload, version);
CREATE INDEX ix_release_events_workload ON release_events (workload);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('interactions',3);
INSERT INTO "sqlite_sequence" VALUES('ledger',2);
COMMIT;
