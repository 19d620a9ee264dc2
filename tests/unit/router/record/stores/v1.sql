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
	PRIMARY KEY (interaction_id, n), 
	FOREIGN KEY(interaction_id) REFERENCES interactions (id) ON DELETE CASCADE
);
INSERT INTO "attempts" VALUES('i1',0,'teacher','teacher','answer',99.5,480.25,200,NULL,120,7,20,123456789,'big-70b-2026');
INSERT INTO "attempts" VALUES('i2',0,'teacher','teacher','answer',99.5,480.25,503,'answered 503',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES('i2',1,'teacher','teacher','answer',99.5,480.25,200,NULL,120,7,20,123456789,'big-70b-2026');
INSERT INTO "attempts" VALUES('i3',0,'teacher','teacher','answer',99.5,480.25,503,'answered 503',NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "cycles" VALUES(1,'cyc_1','support',1.0,2.0,'promoted','{}',3);
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
INSERT INTO "interactions" VALUES(2,'i2',100.0,'support','shop','shop',1,1,1,0,'teacher','teacher','observe','ok','r1',NULL,NULL,3,1.0,1.0,1,NULL,NULL,123456789,123456789,0,481.0,0.75,'teacher','big-70b-2026','g1','label','abc','{}','Where is my parcel?','{"content":"delivery"}','{"content":"delivery"}',NULL,'[{"tier":"teacher","reason":"observe","propensity":1.0}]','{"messages":[{"role":"user","content":"Where is my parcel?"}]}');
INSERT INTO "interactions" VALUES(3,'i3',100.0,'support','shop','shop',1,0,1,0,'teacher','teacher','observe','error',NULL,NULL,NULL,NULL,1.0,1.0,1,NULL,NULL,NULL,123456789,0,481.0,0.75,'teacher','big-70b-2026','g1','label','abc','{}','Where is my parcel?',NULL,NULL,NULL,'[{"tier":"teacher","reason":"observe","propensity":1.0}]','{"messages":[{"role":"user","content":"Where is my parcel?"}]}');
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','1');
CREATE TABLE promise_state (
	workload VARCHAR NOT NULL, 
	terms VARCHAR NOT NULL, 
	state JSON NOT NULL, 
	upto_seq BIGINT NOT NULL, 
	PRIMARY KEY (workload)
);
INSERT INTO "promise_state" VALUES('support','t','{"trials":1}',3);
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
INSERT INTO "release_events" VALUES(1,'support','r1','promoted','first',2.0);
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
INSERT INTO "releases" VALUES('r1','support',1,'active','/releases/r1',1.0,2.0,'{"n":1}');
CREATE INDEX ix_interactions_workload_seq ON interactions (workload, seq);
CREATE INDEX ix_interactions_trainable ON interactions (workload, trainable, seq);
CREATE INDEX ix_interactions_created_at ON interactions (created_at);
CREATE UNIQUE INDEX ix_releases_active ON releases (workload) WHERE state = 'active';
CREATE UNIQUE INDEX ix_releases_workload_number ON releases (workload, number);
CREATE INDEX ix_cycles_workload ON cycles (workload);
CREATE INDEX ix_release_events_workload ON release_events (workload);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('interactions',3);
COMMIT;
