/*
 * backstay.js: Backstay's commands for people who live in mongosh.
 *
 *     load("/usr/share/backstay/backstay.js")      at the prompt, or in ~/.mongoshrc.js
 *     backstay.help()
 *
 * It inserts the same documents as one does by hand, and reads what the agents write. What a
 * command takes is asked of the validators in the control database, so it is always what the
 * agents that run there take. Of commands the `_id` is returned; whatever looks at something
 * returns the documents, which show themselves at the prompt and are plain values in a script.
 *
 * mongosh awaits the answers of the server by itself, within some limits: in plain functions only,
 * so there is no async in here; a `return` of a call is not awaited, so what is to be caught is
 * kept in a variable first; `a?.b()` fails where there is no a; and to take an object apart with a
 * rest leaves names of its own in the shell. So none of these is used.
 */
globalThis.backstay = (() => {
  // What each command does, and what may stand before its options; the options are the server's.
  const COMMANDS = {
    backup: { does: "makes an exact copy at one cluster time" },
    restore: { does: "brings a backup back, or any time since one that is archived" },
    verify: {
      does: "looks whether everything that a backup needs is there, and whole",
      first: ["backup", "depth"],
    },
    delete: { does: "deletes a backup from its storage", first: ["backup"] },
    prune: { does: "removes what no retention keeps" },
    cancel: { does: "stops a command that waits or runs", first: ["target"] },
    check: { does: "lets every agent test its storages, credentials and privileges" },
    resync: { does: "makes the list of backups anew from the storage" },
    authorize_role: { does: "sets a role of AWS up for a storage, step by step" },
    deauthorize_role: { does: "forgets a role that no storage uses" },
  };
  const OTHERS = {
    status: ["()", "says whether the data is safe, and why"],
    list: ["()", "lists the backups, newest first"],
    show: ["(id)", "shows a backup, or a command"],
    watch: ["(id)", "follows a command to its end; without id: the last one"],
    schedules: ["()", "lists the schedules, and when they run next"],
    schedule: ["(name, {...})", "makes a schedule, or changes what is given of it"],
    pause: ["(name)", "switches a schedule off: it runs nothing, and removes nothing"],
    resume: ["(name)", "switches it on again"],
    unschedule: ["(name)", "removes a schedule, and no backup"],
    command: ["({command: ...})", "inserts any command, also one that this file does not know"],
    use: ["(database)", "turns to another control database"],
    help: ["(name)", "tells what a command or a schedule takes"],
  };
  const EXAMPLES = {
    backup: ["backup()", 'backup({namespaces: ["shop.*"], note: "before the release"})'],
    restore: [
      "restore({dry_run: true})",
      'restore({to: ISODate("2026-11-21T20:15:12Z"), overwrite: true})',
      'restore({backup: "20261121T201512Z", namespaces: ["shop.orders"], ' +
        'rename: [{from: "shop.*", to: "rescue.*"}]})',
    ],
    verify: ['verify("20261121T201512Z")', 'verify("20261121T201512Z", "content")'],
    delete: ['delete("20261121T201512Z", {dry_run: true})'],
    prune: ["prune({dry_run: true})"],
    cancel: ['cancel("6920c5d0e1f2a3b4c5d6e7f8")'],
    schedule: [
      'schedule("nightly", {cron: "0 3 * * *", timezone: "Europe/Vienna", ' +
        'command: {command: "backup"}, retention: {keep_daily: 14}})',
      'schedule("nightly", {cron: "30 2 * * *"})',
      'schedule("nightly", {retention: null})',
    ],
  };

  const ENDS = new Set(["done", "failed", "canceled", "rejected", "expired"]);
  const STALE_MS = 15000; // A status that is older belongs to an agent that is not there.
  const PATIENCE_MS = 5000; // A command that nobody took by then makes one wonder.
  const LINE_MS = 10000; // Between lines of a phase that lasts, where there is no terminal.
  const OUTAGE_MS = 60000; // An election is over sooner.
  const LOOK_MS = 500;
  const BY_AGENTS = "written by the agents"; // The description of such fields in a validator.
  const PHASES = { oplog: "storing oplog", indexing: "building indexes", cleaning: "cleaning up" };

  let control = "backstay";
  let last; // The `_id` of the command that was inserted last from here.

  // ------------------------------------------------------------------ words

  const count = (number) => String(Number(number)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const many = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
  const moment = (date) => `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const wall = (timestamp) => new Date((timestamp.getHighBits() >>> 0) * 1000);
  const kind = (value) => (value && typeof value === "object" && value._bsontype) || "";
  const isNumber = (value) => typeof value === "number" || ["Long", "Int32"].includes(kind(value));
  const isDocument = (value) =>
    Object.prototype.toString.call(value) === "[object Object]" && kind(value) === "";

  function size(bytes) {
    let value = Number(bytes);
    const units = ["B", "kB", "MB", "GB", "TB"];
    while (value >= 1000 && units.length > 1) {
      value /= 1000;
      units.shift();
    }
    return `${value.toFixed(units[0] === "B" ? 0 : 1)} ${units[0]}`;
  }

  function duration(seconds) {
    const whole = Math.max(0, Math.round(Number(seconds)));
    const [days, hours] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24];
    const minutes = Math.floor(whole / 60) % 60;
    const two = (number) => String(number).padStart(2, "0");
    if (days) return `${days} d ${hours} h`;
    if (hours) return `${hours} h ${two(minutes)} min`;
    return minutes ? `${minutes} min ${two(whole % 60)} s` : `${whole} s`;
  }

  function age(then, now) {
    const seconds = Math.max(0, Math.round((now - then) / 1000));
    const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
    const unit = units.find(([, length]) => seconds >= length);
    return unit ? many(Math.floor(seconds / unit[1]), unit[0]) : `${seconds} s`;
  }

  function text(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value === "number") return Number.isInteger(value) ? count(value) : String(value);
    if (value instanceof Date) return moment(value);
    if (kind(value) === "Timestamp") {
      return `${moment(wall(value))} (${value.getHighBits() >>> 0}.${value.getLowBits() >>> 0})`;
    }
    if (isNumber(value)) return count(value);
    if (Array.isArray(value)) return value.map(text).join(", ");
    if (isDocument(value)) {
      return Object.entries(value).map(([name, each]) => `${name}=${text(each)}`).join(", ");
    }
    return String(value);
  }

  /* Writes a value as one would type it, cut where it is long. */
  function typed(value) {
    const date = value instanceof Date ? `ISODate("${value.toISOString()}")` : undefined;
    const told = String(date ?? JSON.stringify(value));
    return told.length > 60 ? `${told.slice(0, 57)}...` : told;
  }

  /* Writes rows below each other; columns named in `right` hold numbers. */
  function table(names, rows, margin = "", right = []) {
    const cells = [names, ...rows].map((row) => row.map(String));
    const widths = names.map((_, at) => Math.max(...cells.map((row) => row[at].length)));
    return cells.map((row) => {
      const line = row.map((cell, at) =>
        right.includes(names[at]) ? cell.padStart(widths[at]) : cell.padEnd(widths[at]));
      return `${margin}${line.join("  ").trimEnd()}`;
    });
  }

  /* Writes names and values below each other, what is empty left out, what is nested indented. */
  function outline(document, margin = "  ") {
    const there = Object.entries(document).filter(([, value]) => !isEmpty(value));
    const flat = there.filter(([, value]) => !isNested(value));
    const width = Math.max(0, ...flat.map(([name]) => name.length));
    return there.flatMap(([name, value]) => {
      const title = name.replaceAll("_", " ");
      const deeper = `${margin}  `;
      if (isDocument(value)) return [`${margin}${title}`, ...outline(value, deeper)];
      if (isNested(value) && Array.isArray(value)) {
        const told = (each) => Object.keys(each).filter((key) => !isEmpty(each[key]));
        const names = [...new Set(value.flatMap(told))];
        const rows = value.map((each) => names.map((key) => measured(key, each[key])));
        return [`${margin}${title}`, ...table(names, rows, deeper)];
      }
      if (isNested(value)) {
        return [`${margin}${title}`, ...value.trimEnd().split("\n").map((line) => deeper + line)];
      }
      return [`${margin}${title.padEnd(width)}  ${measured(name, value)}`];
    });
  }

  function measured(name, value) {
    if (isNumber(value) && name.endsWith("bytes")) return size(value);
    return isNumber(value) && name.endsWith("_s") ? duration(value) : text(value);
  }

  function isEmpty(value) {
    if (value === null || value === undefined || value === "") return true;
    if (Array.isArray(value)) return value.length === 0;
    return isDocument(value) && Object.keys(value).length === 0;
  }

  function isNested(value) {
    if (Array.isArray(value)) return value.length > 0 && value.every(isDocument);
    return isDocument(value) || (typeof value === "string" && value.includes("\n"));
  }

  /* Returns the one of the names that somebody may have meant. */
  function nearest(word, names) {
    const distance = (one, two) => {
      let row = [...Array(two.length + 1).keys()];
      for (let i = 1; i <= one.length; i++) {
        const next = [i];
        for (let j = 1; j <= two.length; j++) {
          const replaced = row[j - 1] + (one[i - 1] === two[j - 1] ? 0 : 1);
          next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
        }
        row = next;
      }
      return row[two.length];
    };
    const ranked = names
      .map((name) => [distance(String(word).toLowerCase(), name.toLowerCase()), name])
      .sort((one, two) => one[0] - two[0]);
    const [least, name] = ranked[0] ?? [Infinity, ""];
    return least <= Math.max(2, Math.floor(String(word).length / 3)) ? name : "";
  }

  function instead(word, names) {
    const name = nearest(word, names);
    if (name) return `; did you mean ${JSON.stringify(name)}?`;
    return names.length ? `; there are: ${names.join(", ")}` : "";
  }

  // ------------------------------------------------------------------ the screen

  const hasProcess = typeof process === "object" && process !== null && Boolean(process.stdout);
  const isTerminal = () => hasProcess && Boolean(process.stdout.isTTY);

  /* Says something on the way: where standard output is kept, it has only the values. */
  function note(line) {
    if (hasProcess && !isTerminal() && process.stderr) process.stderr.write(`${line}\n`);
    else print(line);
  }

  /* Makes a value show itself as text where mongosh would show it; it stays what it is. */
  function shown(value, lines) {
    const told = lines.join("\n");
    Object.defineProperty(value, Symbol.for("nodejs.util.inspect.custom"), { value: () => told });
    return value;
  }

  function refusal(message, code) {
    const error = new Error(message);
    error.name = "Backstay";
    if (code !== undefined) Object.defineProperty(error, "code", { value: code });
    return error;
  }

  // ------------------------------------------------------------------ the server

  function database() {
    if (typeof db === "undefined") throw refusal("this shell is not connected to a replica set");
    return db.getSiblingDB(control);
  }

  /* Asks the server; what it refuses is thrown as something that a person understands. */
  function asked(call, what, collection, document) {
    try {
      const answer = call();
      return answer;
    } catch (error) {
      throw understood(error, what, collection, document);
    }
  }

  function understood(error, what, collection, document) {
    const details = error.errInfo?.details?.schemaRulesNotSatisfied;
    if (error.code === 121 && details) {
      const found = faults(details, { path: [], schema: schemaOf(collection), value: document });
      const lines = [...new Set(found)].map((line) => `  ${line}`);
      return refusal(`${what} was refused:\n${lines.join("\n")}`, 121);
    }
    if (error.code === 13) return unauthorized(what);
    if ([10107, 13435].includes(error.code)) {
      return refusal(
        "this shell is connected to a secondary only; connect with the replica set's name " +
          "(...?replicaSet=NAME)",
        error.code,
      );
    }
    return error;
  }

  function unauthorized(what) {
    const { authInfo } = database().runCommand({ connectionStatus: 1 });
    const [user] = authInfo.authenticatedUsers;
    if (!user) return refusal(`${what} needs a user: log in with db.auth() first`, 13);
    const grant = `grantRolesToUser("${user.user}", [{role: "readWrite", db: "${control}"}])`;
    return refusal(
      `${what} is not allowed to the user ${user.user}: it needs readWrite on the database ` +
        `${control}, or read to look only.\n` +
        `  Somebody who may: db.getSiblingDB("${user.db}").${grant}`,
      13,
    );
  }

  const read = (collection, query) =>
    asked(() => database()[collection].find(query).toArray(), `reading ${control}.${collection}`);

  const readOne = (collection, query) => read(collection, query)[0] ?? null;

  const serverNow = () => asked(() => database().hello().localTime, "asking the time");

  /* Returns what the validator of a collection allows; null if that cannot be known. */
  function schemaOf(collection) {
    try {
      const [found] = database().getCollectionInfos({ name: collection });
      return found?.options?.validator?.$jsonSchema ?? null;
    } catch (error) {
      if (error.code === 13) return null;
      throw error;
    }
  }

  /* Refuses what would make a control database where none is: nobody would ever look there. */
  function prepared() {
    let found = [{}];
    try {
      found = database().getCollectionInfos({ name: "commands" }, { nameOnly: true });
    } catch (error) {
      if (error.code !== 13) throw error;
    }
    if (found.length > 0) return;
    throw refusal(
      `there is no control database ${control}: start an agent or "backstay init", or turn to ` +
        "another one with backstay.use(name)",
    );
  }

  /* Returns the commands that a part of a validator knows. */
  const commandsOf = (schema) => schema?.properties?.command?.enum ?? [];

  /* Returns each field that an operator may give: {name: {type, needed, means}}. */
  function fieldsOf(schema, command) {
    const fields = {};
    for (const [name, each] of Object.entries(schema?.properties ?? {})) {
      const takers = schema.dependencies?.[name]?.properties?.command?.enum;
      const isForeign = command !== undefined && takers && !takers.includes(command);
      if (each.description === BY_AGENTS || isForeign) continue;
      if (name === "_id" || (command !== undefined && name === "command")) continue;
      fields[name] = {
        type: typeOf(each),
        needed: (schema.required ?? []).includes(name) || isNeeded(schema, name, command),
        means: meaning(each.description ?? "", command, commandsOf(schema)),
      };
    }
    return fields;
  }

  /* Whether a command cannot do without an option: "not that command, or the option is there". */
  function isNeeded(schema, name, command) {
    return (schema.allOf ?? []).some((rule) => {
      const [other, there] = rule.anyOf ?? [];
      const needing = other?.not?.properties?.command?.enum ?? [];
      return needing.includes(command) && (there?.required ?? []).includes(name);
    });
  }

  const TYPES = {
    array: "a list", bool: "true or false", date: "a date", double: "a number",
    int: "a whole number", object: "a document", objectId: "an ObjectId", string: "a text",
    timestamp: "a Timestamp",
  };

  function typeOf(schema) {
    if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" or ");
    const literal = /^\^(\w+)\$$/.exec(schema.pattern ?? "");
    const types = [schema.bsonType ?? []].flat().map((each) =>
      each === "string" && literal ? JSON.stringify(literal[1]) : TYPES[each] ?? "");
    return [...new Set(types.filter(Boolean))].join(" or ");
  }

  /* An option of several commands says what it means to each: "backup: ...; restore: ...". */
  function meaning(description, command, commands) {
    if (command === undefined || commands.length === 0) return description;
    const names = `(?:${commands.join("|")})`;
    const start = new RegExp(`(?:^|; )(${names}(?:, ${names})*): `, "g");
    const starts = [...description.matchAll(start)];
    if (starts.length === 0 || starts[0].index !== 0) return description;
    const at = starts.findIndex((each) => each[1].split(", ").includes(command));
    if (at < 0) return description;
    return description.slice(starts[at].index + starts[at][0].length, starts[at + 1]?.index);
  }

  // ------------------------------------------------------------------ why a document was refused

  /* Returns a sentence for each rule that a document broke; `at` is a place in it. */
  function faults(rules, at, means = "") {
    return rules.flatMap((rule) => fault(rule, at, means));
  }

  function fault(rule, at, means) {
    const within = (name) => ({
      path: [...at.path, name],
      schema: at.schema?.properties?.[name],
      value: at.value?.[name],
    });
    switch (rule.operatorName) {
      case "properties":
        return rule.propertiesNotSatisfied.flatMap((each) =>
          faults(each.details, within(each.propertyName), meansAt(at, each.propertyName)));
      case "items": {
        const index = rule.itemIndex;
        const [schema, value] = [at.schema?.items, at.value?.[index]];
        const item = { path: [...at.path, index], schema, value };
        return faults(rule.details, item, means);
      }
      case "additionalProperties":
        if (rule.failingProperty === undefined) {
          return rule.additionalProperties.map((name) => unknown(name, at));
        }
        return faults(rule.details, within(rule.failingProperty), means);
      case "required":
        return rule.missingProperties.map((name) => missing(name, at));
      case "dependencies":
        return rule.failingDependencies.flatMap((each) => dependency(each, at, within));
      case "allOf":
        return rule.schemasNotSatisfied.flatMap((each) => needed(each, at));
      case "anyOf": {
        const told = rule.schemasNotSatisfied.map((each) => each.description).filter(Boolean);
        return [sentence(at, `is not whole: ${told.join(", or ") || rule.reason}`, "")];
      }
      default:
        return [sentence(at, wrong(rule, at), means, rule)];
    }
  }

  function unknown(name, at) {
    const fields = Object.keys(fieldsOf(at.schema, commandAt(at)));
    return `${[...at.path, name].join(".")}: there is no such field${instead(name, fields)}`;
  }

  function missing(name, at) {
    const place = { path: [...at.path, name] };
    return sentence(place, "is missing", meansAt(at, name));
  }

  /* Returns which command a place in a document stands for, if it does. */
  function commandAt({ schema, value }) {
    return commandsOf(schema).includes(value?.command) ? value.command : undefined;
  }

  function meansAt(at, name) {
    const description = at.schema?.properties?.[name]?.description ?? "";
    return meaning(description, commandAt(at), commandsOf(at.schema));
  }

  function dependency(failing, at, within) {
    const place = within(failing.conditionalProperty);
    if (failing.missingProperties) {
      return [sentence(place, `needs ${failing.missingProperties.join(" and ")} beside it`, "")];
    }
    const [property] = failing.details.flatMap((each) => each.propertiesNotSatisfied ?? []);
    const [command] = property?.details ?? [];
    if (command?.operatorName === "enum") {
      const takers = command.specifiedAs.enum.join(", ");
      const told = `is no option of ${command.consideredValue}; it is of: ${takers}`;
      return [sentence(place, told, "")];
    }
    const rule = at.schema?.dependencies?.[failing.conditionalProperty];
    const told = (rule?.description ?? "cannot stand here").replace(
      `${failing.conditionalProperty} `, "");
    return [sentence(place, told, "")];
  }

  function needed(failing, at) {
    const ways = failing.details.flatMap((each) => each.schemasNotSatisfied ?? []);
    const rules = ways.flatMap((each) => each.details);
    const names = rules.flatMap((each) => each.missingProperties ?? []);
    if (names.length === 0) return [sentence(at, failing.description ?? "is not whole", "")];
    return names.map((name) => missing(name, at));
  }

  function wrong(rule, at) {
    switch (rule.operatorName) {
      case "bsonType":
        return `must be ${typeOf({ ...at.schema, ...rule.specifiedAs })}`;
      case "enum": {
        const allowed = rule.specifiedAs.enum.map(String);
        const near = nearest(rule.consideredValue, allowed);
        return `must be one of: ${allowed.join(", ")}${near ? ` (did you mean "${near}"?)` : ""}`;
      }
      case "minItems":
        return "must not be empty";
      case "minProperties":
        return `must have one of: ${Object.keys(fieldsOf(at.schema)).join(", ")}`;
      case "minimum":
        return `must be at least ${rule.specifiedAs.minimum}`;
      case "maximum":
        return `must be at most ${rule.specifiedAs.maximum}`;
      default:
        return "does not look right";
    }
  }

  function sentence(at, what, means, rule) {
    const isTold = rule !== undefined && "consideredValue" in rule;
    const given = isTold ? `; you gave ${typed(rule.consideredValue)}` : "";
    const told = means && rule?.operatorName !== "enum" ? ` (${means})` : "";
    return `${at.path.length ? `${at.path.join(".")}: ` : "it "}${what}${given}${told}`;
  }

  // ------------------------------------------------------------------ commands

  function ordered(document) {
    prepared();
    const insert = () => database().commands.insertOne(document).insertedId;
    const id = asked(insert, `the command ${typed(document.command)}`, "commands", document);
    const isCancel = document.command === "cancel";
    last = isCancel ? document.target : id;
    const stop = isCancel ? "" : `, backstay.cancel("${id}") stops it`;
    note(`${document.command} is inserted; backstay.watch() follows it${stop}.`);
    const picture = look();
    if (!picture.isLed) note(`${nobody(picture)} Until then the command waits, and may expire.`);
    return id;
  }

  function optionsOf(name, given) {
    const first = [...(COMMANDS[name].first ?? [])];
    const options = {};
    for (const value of given.filter((each) => each !== undefined)) {
      if (isDocument(value)) Object.assign(options, value);
      else if (first.length > 0) options[first.shift()] = value;
      else {
        const told = `takes its options as a document; you gave ${typed(value)}`;
        throw refusal(`backstay.${name} ${told}: see backstay.help("${name}")`);
      }
    }
    if ("command" in options && options.command !== name) {
      throw refusal(`backstay.${name} inserts ${name}; for others there is backstay.command`);
    }
    return without(options, (value) => value === undefined);
  }

  const without = (document, isLeftOut) =>
    Object.fromEntries(Object.entries(document).filter(([name, value]) => !isLeftOut(value, name)));

  function command(document) {
    if (isDocument(document)) return ordered(document);
    throw refusal('backstay.command takes a document, such as {command: "backup"}');
  }

  function order(name, given) {
    const options = optionsOf(name, given);
    if (name === "cancel" && typeof options.target === "string") {
      options.target = commandNamed(options.target)._id;
    }
    return ordered({ ...options, command: name });
  }

  /* Returns the command that an `_id` names, which may be typed as text. */
  function commandNamed(id) {
    const ids = [isDocument(id) && "_id" in id ? id._id : id];
    if (typeof id === "string" && /^[0-9a-f]{24}$/i.test(id)) ids.push(ObjectId(id));
    const found = readOne("commands", { _id: { $in: ids } });
    if (found) return found;
    throw refusal(`there is no command ${text(id)}; backstay.status() shows what runs`);
  }

  // ------------------------------------------------------------------ following a command

  function watch(id) {
    const watched = id === undefined ? newest() : commandNamed(id);
    const display = isTerminal() ? bar() : lines();
    const since = Date.now();
    let document = watched;
    let hasWondered = false;
    let lostAt = 0;
    while (!ENDS.has(document?.state)) {
      display.show(document);
      if (!document.state && !hasWondered && Date.now() - since >= PATIENCE_MS) {
        hasWondered = true;
        const picture = look();
        if (!picture.isLed) display.say(nobody(picture));
      }
      sleep(LOOK_MS);
      try {
        document = readOne("commands", { _id: watched._id });
        lostAt = 0;
      } catch (error) {
        if (!isOutage(error) || (lostAt && Date.now() - lostAt > OUTAGE_MS)) throw error;
        if (!lostAt) display.say(`The replica set cannot be asked: ${error.message}`);
        lostAt = lostAt || Date.now();
      }
      if (document === null) throw refusal(`the document of command ${watched._id} was removed`);
    }
    display.end(headline(document));
    return shown(document, outcome(document));
  }

  const isOutage = (error) =>
    /^Mongo(Network|ServerSelection|PoolCleared)/.test(error.name) ||
    [11600, 11602, 10107, 13435, 13436, 189, 91].includes(error.code);

  function newest() {
    if (last !== undefined) return commandNamed(last);
    const open = { state: { $nin: [...ENDS] } };
    const find = () => database().commands.find(open).sort({ $natural: -1 }).limit(1).toArray();
    const [found] = asked(find, "reading commands");
    if (found) return found;
    throw refusal("no command waits or runs; name one: backstay.watch(id)");
  }

  function phaseOf(document) {
    if (!document.state) return "waiting";
    if (document.state !== "running") return document.state;
    const phase = document.progress?.phase ?? "planning";
    return PHASES[phase] ?? phase;
  }

  /* Measures how fast the bytes of a phase go by, as seen from here. */
  function meter() {
    let [phase, since, first] = ["", 0, 0];
    return (progress) => {
      const done = Number(progress.done_bytes);
      if (progress.phase !== phase || done < first) {
        [phase, since, first] = [progress.phase, Date.now(), done];
      }
      const passed = (Date.now() - since) / 1000;
      return passed > 0 ? (done - first) / passed : 0;
    };
  }

  function figures(progress, rate) {
    const parts = [];
    if (Number(progress.total_bytes) > 0) {
      parts.push(`${size(progress.done_bytes)} of ${size(progress.total_bytes)}`);
    }
    if (isNumber(progress.eta_s) && progress.percent < 100) {
      parts.push(`${duration(progress.eta_s)} left`);
    }
    if (rate >= 1) parts.push(`${size(rate)}/s`);
    return parts.join(" · ");
  }

  /* A bar at a terminal, in place. */
  function bar() {
    const rate = meter();
    const write = (line) => process.stdout.write(`\r${line}\u001b[K`);
    let hint = " (Ctrl-C ends the watching, not the command)";
    return {
      show(document) {
        let line = `${document.command}  ${phaseOf(document).padEnd(16)}`;
        const progress = document.state === "running" ? document.progress : undefined;
        if (progress && Number(progress.total_bytes) > 0) {
          const filled = Math.round(Number(progress.percent) / 10);
          line += ` ${"█".repeat(filled)}${"░".repeat(10 - filled)}`;
          line += ` ${String(Math.round(progress.percent)).padStart(3)} %`;
        }
        if (progress) line += `  ${figures(progress, rate(progress))}`;
        write(`${line}${hint}`.slice(0, (process.stdout.columns || 80) - 1));
        if (progress) hint = "";
      },
      say: (line) => write(`${line}\n`),
      end: (line) => write(`${line}\n`),
    };
  }

  /* A line for each new phase, and one now and then while it lasts. */
  function lines() {
    const rate = meter();
    let [phase, saidAt] = ["", 0];
    return {
      show(document) {
        const progress = document.state === "running" ? document.progress : undefined;
        const speed = progress ? rate(progress) : 0;
        if (phaseOf(document) === phase && Date.now() - saidAt < LINE_MS) return;
        [phase, saidAt] = [phaseOf(document), Date.now()];
        const told = progress ? figures(progress, speed) : "";
        const percent = progress && Number(progress.total_bytes) > 0
          ? ` ${Math.round(progress.percent)} %` : "";
        note(`${document.command}: ${phase}${percent}${told ? ` (${told})` : ""}`);
      },
      say: note,
      end: note,
    };
  }

  function headline(document) {
    const took = (document.finished_at - document.started_at) / 1000;
    const time = document.state === "done" && took >= 1 ? ` in ${duration(took)}` : "";
    const why = document.error?.message ? `: ${document.error.message}` : "";
    const isDry = document.state === "done" && document.dry_run;
    const dry = isDry ? " (dry run: nothing was changed)" : "";
    return `${document.command} ${document.state ?? "waits"}${time}${dry}${why}`;
  }

  function outcome(document) {
    const lines = [headline(document), ...outline(document.result ?? {})];
    if (document.error?.hint) lines.push(`hint: ${document.error.hint}`);
    if (document.state === "expired" && !document.error) lines.push("no agent took it in time");
    return lines;
  }

  // ------------------------------------------------------------------ looking

  /* Reads everything that the status shows, at one moment of the server's clock. */
  function look() {
    const now = serverNow();
    const found = read("status", { $or: [{ _id: "cluster" }, { kind: "agent" }] });
    const cluster = found.find((each) => each._id === "cluster") ?? null;
    const agents = found
      .filter((each) => each.kind === "agent")
      .map((each) => ({ ...each, is_there: now - each.updated_at <= STALE_MS }))
      .sort((one, two) => (one.name < two.name ? -1 : 1));
    const isLed = cluster !== null && now - cluster.updated_at <= STALE_MS &&
      agents.some((each) => each.is_there);
    return { now, cluster, agents, isLed };
  }

  /* Says why no command would be taken. */
  function nobody({ now, cluster, agents }) {
    if (agents.length === 0) {
      return `Nobody answers: no agent was ever seen in the control database ${control}. ` +
        'Start "backstay run" beside each node, or turn to another one with backstay.use(name).';
    }
    const heard = Math.max(...agents.map((each) => each.updated_at.getTime()));
    if (!agents.some((each) => each.is_there)) {
      return `Nobody answers: no agent has been heard of since ${moment(new Date(heard))} ` +
        `(${age(heard, now)}). Start "backstay run" beside each node.`;
    }
    const since = cluster ? ` since ${moment(cluster.updated_at)}` : "";
    return `Nobody coordinates${since}, so no command is taken. ` +
      "This should pass within 20 seconds; if not, see the agents' logs.";
  }

  function status() {
    const picture = look();
    const backups = read("backups", {}).sort(byTime);
    const problems = picture.isLed ? [...(picture.cluster.problems ?? [])] : [];
    problems.sort((one, two) => (two.level === "error") - (one.level === "error"));
    const errors = problems.filter((each) => each.level === "error");
    const safe = picture.isLed && backups.length > 0 && errors.length === 0;
    const told = verdictOn(picture, backups, problems, errors);
    const value = {
      safe,
      state: picture.isLed ? picture.cluster.state : "error",
      sentence: told[0],
      now: picture.now,
      problems,
      last_backup: backups[0] ?? null,
      agents: picture.agents,
      cluster: picture.cluster,
    };
    const parts = [told, troubles(problems, picture.now), crew(picture), facts(picture, backups)];
    const there = parts.filter((part) => part.length > 0);
    return shown(value, there.flatMap((part, at) => (at > 0 ? ["", ...part] : part)));
  }

  const byTime = (one, two) => two.consistent_at_wall - one.consistent_at_wall;

  function verdictOn(picture, backups, problems, errors) {
    const { now } = picture;
    const [best] = backups;
    const newestIs = best
      ? `the newest backup is ${age(best.consistent_at_wall, now)} old` : "there is no backup";
    if (!picture.isLed) return [nobody(picture), `Not safe: as far as is known, ${newestIs}.`];
    if (errors.length > 0) {
      const first = new Date(Math.min(...errors.map((each) => each.since.getTime())));
      const since = `since ${moment(first)} (${age(first, now)})`;
      const told = `Not safe ${since}: ${errors[0].message}; ${newestIs}.`;
      return [told, `What to do: ${errors[0].hint}`];
    }
    if (!best) return ["Not safe: there is no backup.", "What to do: backstay.backup() makes one."];
    const there = picture.agents.filter((each) => each.is_there).length;
    const lag = picture.cluster.archiver ? picture.cluster.oplog?.lag_s : undefined;
    const why = [newestIs];
    if (isNumber(lag)) why.push(`all but the last ${duration(lag)} of writes are archived`);
    const are = there === 1 ? "is" : "are";
    why.push(`${there} of ${many(picture.agents.length, "agent")} ${are} there`);
    const warnings = problems.length ? `, with ${many(problems.length, "warning")}` : "";
    return [`Safe${warnings}: ${why.join(", ")}.`];
  }

  function troubles(problems, now) {
    return problems.flatMap((each) => {
      const since = each.since ? ` (${age(each.since, now)})` : "";
      const hint = each.hint ? [`         hint: ${each.hint}`] : [];
      return [`${(each.level ?? "warning").padEnd(7)}  ${each.message}${since}`, ...hint];
    });
  }

  function crew({ now, cluster, agents, isLed }) {
    if (agents.length === 0) return [];
    const names = ["agent", "node", "lag", "server", "version", "storage", "seen"];
    const rows = agents.map((each) => {
      const seen = `${age(each.updated_at, now)} ago`;
      const star = isLed && cluster.coordinator === each.name ? " *" : "";
      const versions = [each.server_version, each.agent_version];
      if (!each.is_there) return [each.name, "-", "", ...versions, "", `not there, ${seen}`];
      const lag = isNumber(each.node_lag_s) ? duration(each.node_lag_s) : "";
      const storage = each.storage?.ok ? "ok" : "not ok";
      const node = text(each.node_state).toLowerCase();
      return [each.name + star, node, lag, ...versions, storage, seen];
    });
    return table(names, rows, "", ["lag"]);
  }

  function facts({ now, cluster, isLed }, backups) {
    const [best] = backups;
    const rows = { "replica set": cluster?.replset };
    if (isLed) rows["coordinator *"] = cluster.coordinator;
    rows["last backup"] = best
      ? `${best.backup}, consistent at ${moment(best.consistent_at_wall)}, ` +
        `${size(best.stored_bytes)} stored, ${verified(best, now)}`
      : "none";
    rows.backups = backups.length;
    if (isLed && cluster.oplog) rows.archive = archive(cluster);
    if (isLed) rows.recoverable = recoverable(cluster.recoverable ?? []);
    const running = isLed ? cluster.running : null;
    const left = isNumber(running?.eta_s) ? `, ${duration(running.eta_s)} left` : "";
    rows.running = running
      ? `${running.command}: ${running.phase} ${Math.round(running.percent)} %${left}`
      : "nothing";
    if (isLed && cluster.next_runs?.length) {
      rows["next runs"] = cluster.next_runs.slice(0, 3).map(nextRun).join("; ");
    }
    return outline(rows);
  }

  const nextRun = (run) =>
    `${run.schedule} at ${run.at instanceof Date ? moment(run.at) : text(run.at)}`;

  function archive({ archiver, oplog }) {
    const parts = [
      archiver ? "" : "nobody archives now",
      oplog.archived_to ? `up to ${moment(wall(oplog.archived_to))}` : "",
      isNumber(oplog.lag_s) ? `lag ${duration(oplog.lag_s)}` : "",
      isNumber(oplog.headroom_s) ? `headroom ${duration(oplog.headroom_s)}` : "",
      oplog.gaps?.length ? many(oplog.gaps.length, "gap") : "",
    ];
    return parts.filter(Boolean).join(", ");
  }

  function recoverable(ranges) {
    const range = ranges[ranges.length - 1];
    if (!range) return "";
    const [from, to] = [moment(wall(range.from)), moment(wall(range.to))];
    const earlier = ranges.length > 1 ? `, and ${many(ranges.length - 1, "earlier range")}` : "";
    return `${from === to ? to : `${from} to ${to}`}${earlier}`;
  }

  /* Returns the verdict that counts: a bad one until a later look as deep finds it sound. */
  function verdictOf(entry) {
    const found = ["objects", "content"]
      .filter((depth) => entry.verified?.[depth])
      .map((depth) => ({ depth, ...entry.verified[depth] }));
    const isSettled = (bad) => found.some((other) => other.verdict === "sound" &&
      (other.depth === "content" || bad.depth === "objects") && other.checked_at > bad.checked_at);
    const bad = found.filter((each) => each.verdict !== "sound" && !isSettled(each));
    const standing = bad.length ? bad : found;
    return standing.sort((one, two) => two.checked_at - one.checked_at)[0];
  }

  function verified(entry, now) {
    const verdict = verdictOf(entry);
    if (!verdict) return "never verified";
    const said = verdict.verdict === "sound" ? `verified (${verdict.depth})` : "DAMAGED, found";
    return `${said} ${age(verdict.checked_at, now)} ago`;
  }

  function list() {
    const now = serverNow();
    const backups = read("backups", {}).sort(byTime);
    if (backups.length === 0) {
      return shown(backups, ["There is no backup; backstay.backup() makes one."]);
    }
    const names = ["backup", "age", "documents", "data", "stored", "storage", "verdict", ""];
    const rows = backups.map((each) => [
      each.backup,
      age(each.consistent_at_wall, now),
      count(each.docs),
      size(each.bytes),
      size(each.stored_bytes),
      each.storage,
      verified(each, now),
      remark(each),
    ]);
    return shown(backups, table(names, rows, "", ["documents", "data", "stored"]));
  }

  function remark(entry) {
    const parts = [
      entry.keep ? "kept" : "",
      entry.namespaces?.length ? `only ${entry.namespaces.join(", ")}` : "",
      text(entry.tags),
      entry.note,
    ];
    return parts.filter(Boolean).join("; ");
  }

  function show(id) {
    if (id === undefined) throw refusal("show what? backstay.list() has the ids of backups");
    const backups = typeof id === "string" ? read("backups", { backup: id }) : [];
    if (backups.length > 0) {
      const now = serverNow();
      const apart = ["_id", "backup", "consistent_at_wall"];
      const told = backups.flatMap((each) => [
        `backup ${each.backup}, ${age(each.consistent_at_wall, now)} old, ${verified(each, now)}`,
        ...outline(without(each, (_, name) => apart.includes(name))),
      ]);
      return shown(backups.length === 1 ? backups[0] : backups, told);
    }
    const document = commandNamed(id);
    const apart = ["_id", "command", "state", "result", "error", "lease_token"];
    const told = [
      `command ${document._id}`,
      ...outline(without(document, (_, name) => apart.includes(name))),
      "",
      ...outcome(document),
    ];
    return shown(document, told);
  }

  // ------------------------------------------------------------------ schedules

  function schedules() {
    const { cluster, isLed } = look();
    const found = read("schedules", {});
    found.sort((one, two) => (String(one._id) < String(two._id) ? -1 : 1));
    if (found.length === 0) {
      return shown(found, ['There is no schedule; see backstay.help("schedule").']);
    }
    const runs = isLed ? cluster.next_runs ?? [] : [];
    const names = ["schedule", "state", "cron", "time zone", "runs", "keeps", "next run"];
    const rows = found.map((each) => {
      const run = runs.find((other) => other.schedule === each._id);
      return [
        text(each._id),
        each.enabled === false ? "paused" : "on",
        text(each.cron),
        text(each.timezone ?? "UTC"),
        isDocument(each.command) ? commandLine(each.command) : text(each.command),
        text(each.retention),
        run ? moment(run.at) : "",
      ];
    });
    const told = isLed ? cluster.problems.filter((each) => /schedule/.test(each.code)) : [];
    const lines = table(names, rows);
    return shown(found, told.length ? [...lines, "", ...troubles(told, serverNow())] : lines);
  }

  function commandLine(document) {
    const options = without(document, (_, name) => name === "command");
    return [text(document.command), text(options)].filter(Boolean).join(" ");
  }

  function schedule(name, fields = {}) {
    if (typeof name !== "string" || !isDocument(fields)) {
      throw refusal('backstay.schedule takes a name and a document: see backstay.help("schedule")');
    }
    prepared();
    if ("_id" in fields && fields._id !== name) {
      throw refusal(`the schedule ${typed(name)} cannot have the _id ${typed(fields._id)}`);
    }
    const marks = Object.entries(schemaOf("schedules")?.properties ?? {})
      .filter(([, each]) => each.description === BY_AGENTS).map(([each]) => each);
    const apart = ["_id", ...marks];
    const given = without(fields, (value, each) => value === undefined || apart.includes(each));
    // A schedule that somebody else makes or removes in between is met the second time.
    const did = put(name, given) ?? put(name, given) ?? put(name, given);
    if (!did) throw refusal(`somebody else makes and removes the schedule ${name}; try again`);
    note(`The schedule ${name} is ${did}; backstay.schedules() shows when it runs next.`);
    warnOfZone(given.timezone);
    return shownSchedule(name);
  }

  /* Makes a schedule or changes it; undefined if it came or went meanwhile. */
  function put(name, given) {
    const what = `the schedule ${typed(name)}`;
    const schedules = database().schedules;
    if (!readOne("schedules", { _id: name })) {
      const document = { _id: name, ...without(given, (value) => value === null) };
      const isMade = asked(() => inserted(schedules, document), what, "schedules", document);
      return isMade ? "made" : undefined;
    }
    const changes = {};
    const set = without(given, (value) => value === null);
    const unset = without(given, (value) => value !== null);
    if (Object.keys(set).length > 0) changes.$set = set;
    if (Object.keys(unset).length > 0) changes.$unset = unset;
    if (Object.keys(changes).length === 0) return "as it was";
    // What is not given stays, the agents' marks too: they see a change by themselves.
    const { matchedCount, modifiedCount } =
      asked(() => schedules.updateOne({ _id: name }, changes), what, "schedules", given);
    if (matchedCount === 0) return undefined;
    return modifiedCount ? "changed" : "as it was";
  }

  function inserted(collection, document) {
    try {
      collection.insertOne(document);
      return true;
    } catch (error) {
      if (error.code === 11000) return false;
      throw error;
    }
  }

  function warnOfZone(timezone) {
    if (typeof timezone !== "string") return;
    try {
      Intl.DateTimeFormat("en", { timeZone: timezone });
    } catch {
      note(`This shell does not know the time zone ${typed(timezone)}: see backstay.status().`);
    }
  }

  function shownSchedule(name) {
    const document = readOne("schedules", { _id: name }) ?? {};
    const lines = outline(without(document, (_, each) => each === "_id"));
    return shown(document, [`schedule ${name}`, ...lines]);
  }

  function switched(name, enabled, told) {
    const update = () => database().schedules.updateOne({ _id: name }, { $set: { enabled } });
    const { matchedCount } = asked(update, `the schedule ${typed(name)}`, "schedules");
    if (matchedCount === 0) throw noSchedule(name);
    note(told);
    return shownSchedule(name);
  }

  const pause = (name) =>
    switched(name, false, `The schedule ${name} is paused: it runs nothing, and removes nothing.`);

  const resume = (name) =>
    switched(name, true, `The schedule ${name} is on; what was due meanwhile is not made up for.`);

  function unschedule(name) {
    const remove = () => database().schedules.deleteOne({ _id: name }).deletedCount;
    if (asked(remove, `the schedule ${typed(name)}`) === 0) throw noSchedule(name);
    note(`The schedule ${name} is removed. Its backups stay; its retention rules them no more.`);
    return name;
  }

  function noSchedule(name) {
    const names = read("schedules", {}).map((each) => String(each._id));
    return refusal(`there is no schedule ${typed(name)}${instead(name, names)}`);
  }

  // ------------------------------------------------------------------ help

  function use(name) {
    if (typeof name !== "string" || !name) throw refusal("backstay.use takes a database's name");
    control = name;
    last = undefined;
    const told = schemaOf("commands") ? "" : ", which no agent has prepared yet";
    note(`The control database is ${control}${told}.`);
    return control;
  }

  function help(name) {
    if (name === undefined) return shown({ commands: COMMANDS, others: OTHERS }, overview());
    const word = name.called ?? String(name).replace(/^backstay\.|\(.*$/g, "");
    if (word === "schedule") return helpOfSchedule();
    if (word in OTHERS) return shown({}, [`backstay.${word}${OTHERS[word].join(" ")}.`]);
    const schema = schemaOf("commands");
    const known = commandsOf(schema);
    if (!(word in COMMANDS) && !known.includes(word)) {
      const names = [...Object.keys(COMMANDS), ...Object.keys(OTHERS)];
      throw refusal(`there is no backstay.${word}${instead(word, names)}`);
    }
    const fields = fieldsOf(schema, word);
    const lines = [`${callOf(word)} ${COMMANDS[word]?.does ?? "is newer than this file"}.`, ""];
    if (schema === null) lines.push(...unknownHere());
    else if (!known.includes(word)) {
      lines.push(`  The agents here do not know it; they know: ${known.join(", ")}`);
    } else if (isEmpty(fields)) lines.push("  It has no options.");
    else lines.push(...fieldTable(fields));
    return shown(fields, [...lines, ...examples(word)]);
  }

  function callOf(name) {
    if (!(name in COMMANDS)) return `backstay.command({command: "${name}", ...})`;
    return `backstay.${name}(${[...(COMMANDS[name].first ?? []), "{...}"].join(", ")})`;
  }

  function helpOfSchedule() {
    const schema = schemaOf("schedules");
    const fields = fieldsOf(schema);
    const retention = fieldsOf(schema?.properties?.retention);
    const commands = commandsOf(schema?.properties?.command);
    const lines = [`backstay.schedule${OTHERS.schedule.join(" ")}.`, ""];
    if (schema === null) lines.push(...unknownHere());
    else {
      lines.push(...fieldTable(fields), "", "  retention", ...fieldTable(retention, "    "), "");
      lines.push(`  command may be: ${commands.join(", ")}; backstay.help(name) tells more.`);
      lines.push("  A field that is null is removed; what is not named stays as it is.");
    }
    return shown({ ...fields, retention: { ...fields.retention, rules: retention } },
      [...lines, ...examples("schedule")]);
  }

  const unknownHere = () => [
    `  What it takes stands in the control database, and ${control} has none, or you may not look:`,
    '  start an agent or "backstay init", or choose another one with backstay.use(name).',
  ];

  function fieldTable(fields, margin = "  ") {
    const rows = Object.entries(fields).map(([name, each]) => [
      name, each.type.replace(/\ban? /g, ""), `${each.needed ? "required; " : ""}${each.means}`,
    ]);
    return table(["", "", ""], rows, margin).slice(1);
  }

  function examples(name) {
    const found = EXAMPLES[name] ?? [];
    return found.length ? ["", ...found.map((each) => `  backstay.${each}`)] : [];
  }

  function overview() {
    const commands = Object.entries(COMMANDS).map(([name, each]) => [callOf(name), each.does]);
    const others = Object.entries(OTHERS).map(([name, [takes, does]]) =>
      [`backstay.${name}${takes}`, does]);
    const lines = table(["", ""], [...commands, ...others], "  ").slice(1);
    return [
      `Backstay, by the control database ${control}.`,
      "",
      "Commands are inserted, and return their _id:",
      ...lines.slice(0, commands.length),
      "",
      "The rest:",
      ...lines.slice(commands.length),
      "",
      'Options: backstay.help("restore"). In one go: backstay.watch(backstay.backup()).',
    ];
  }

  const made = {
    command, status, list, show, watch, schedules, schedule, pause, resume, unschedule, use, help,
  };
  for (const name of Object.keys(COMMANDS)) made[name] = (...given) => order(name, given);
  for (const [name, each] of Object.entries(made)) each.called = name;
  return shown(made, ["backstay: see backstay.help()"]);
})();
