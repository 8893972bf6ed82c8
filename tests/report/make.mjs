// Real runs over the local stack against the emulator of Microsoft Graph, and the page of each: of a run
// that completed, one that is held, one that failed, a large one, and one whose functions were killed. And the
// page of the tenants that `serve` shows.
//
//   node make.mjs BINARIES FOLDER

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";

const [binaries, folder] = process.argv.slice(2).map((path) => resolve(path));

// How long one call of the command line may take, in milliseconds: a sync of 5,000 users takes a
// fiftieth of it.
const CALL_MS_MAX = 600_000;
// How long `serve` may take to stop, in milliseconds: calls under way may end, within ten seconds.
const STOP_MS_MAX = 30_000;
// After so many milliseconds a sync is killed, in the midst of its pages.
const KILLED_AFTER_MS = 2_500;

const SMALL = { users: 120, page: 25, guards: "" };
const LARGE = {
  users: 5_000,
  page: 17,
  guards: "deactivations_max = 1000\ndeactivations_percent_max = 50.0\nwindow_percent_max = 50.0\n",
};

class World {
  // A tenant at an emulator of its own, and a local stack in a folder of its own.
  static async begin(size) {
    const world = new World();
    world.emulator = spawn(
      join(binaries, "examples/emulate"),
      ["--users", size.users, "--page-size-max", size.page].map(String),
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    world.answers = createInterface({ input: world.emulator.stdout })[Symbol.asyncIterator]();
    const app = await world.answer();
    world.data = mkdtempSync(join(tmpdir(), "rollcall-report-"));
    world.secret = app.client_secret;
    const file = join(world.data, "tenants.toml");
    writeFileSync(
      file,
      `[[tenant]]
id = "contoso"
directory_id = "${app.directory_id}"
client_id = "${app.client_id}"
graph_url = "${app.graph_url}"
login_url = "${app.login_url}"
credential = { kind = "secret", env = "REPORT_SECRET" }
[tenant.guards]
${size.guards}
[tenant.limits]
graph_retry_seconds_max = 3
lease_seconds = 2
`,
    );
    world.call(0, "tenant", "put", file);
    return world;
  }

  async answer() {
    const { value, done } = await this.answers.next();
    if (done) throw new Error("the emulator has ended");
    return JSON.parse(value);
  }

  async ask(command) {
    this.emulator.stdin.write(`${command}\n`);
    const answer = await this.answer();
    if (answer.error) throw new Error(`${command}: ${answer.error}`);
    return answer;
  }

  get lines() {
    return join(this.data, "lines.json");
  }

  get options() {
    const env = { ...process.env, REPORT_SECRET: this.secret };
    delete env.ROLLCALL_LOCAL;
    delete env.ROLLCALL_STACK;
    return { env, encoding: "utf8", maxBuffer: 1 << 28 };
  }

  command(args) {
    return ["--local", join(this.data, "stack"), "--json", ...args];
  }

  // The objects that a call prints; it has to end with this code.
  call(code, ...args) {
    const options = { ...this.options, timeout: CALL_MS_MAX };
    const ended = spawnSync(join(binaries, "rollcall"), this.command(args), options);
    if (ended.status !== code) {
      throw new Error(`${args.join(" ")} ended with ${ended.status}, not ${code}: ${ended.stderr}`);
    }
    return ended.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  // Told of at a level: at "-vv" there is a line for each answer of Graph.
  sync(code, level = "-q") {
    const [run] = this.call(code, "sync", level, "--logs", this.lines);
    console.log(`run ${run.tenant}/${run.run}: ${run.state}, ${run.batches} batches, ${run.deactivated} off`);
    return run;
  }

  // A sync that is killed, with the leases of its functions in their hands.
  async killed() {
    const args = this.command(["sync", "--logs", this.lines]);
    const sync = spawn(join(binaries, "rollcall"), args, { ...this.options, stdio: "ignore" });
    await setTimeout(KILLED_AFTER_MS);
    sync.kill("SIGKILL");
    await new Promise((done) => sync.once("exit", done));
  }

  // The page of the tenants, and that of a run, as they are served.
  async served(name, run) {
    const args = ["--local", join(this.data, "stack"), "serve", "--port", "0"];
    const serve = spawn(join(binaries, "rollcall"), args, { ...this.options, stdio: ["ignore", "ignore", "pipe"] });
    const exited = new Promise((done) => serve.once("exit", done));
    try {
      for await (const line of createInterface({ input: serve.stderr })) {
        const address = line.match(/http:\/\/127\.0\.0\.1:\d+\//)?.[0];
        if (!address) continue;
        const pages = { [`${name}-tenants`]: "", [`${name}-run`]: `runs/contoso/${run.run}` };
        for (const [page, path] of Object.entries(pages)) {
          const answer = await fetch(`${address}${path}`);
          if (!answer.ok) throw new Error(`${path} is answered with ${answer.status}`);
          writeFileSync(join(folder, `${page}.html`), await answer.text());
        }
        return;
      }
      throw new Error("serve has ended");
    } finally {
      serve.stderr.resume();
      serve.kill("SIGINT");
      const killed = setTimeout(STOP_MS_MAX, "late", { ref: false });
      if ((await Promise.race([exited, killed])) === "late") serve.kill("SIGKILL");
    }
  }

  report(name, run, ...more) {
    const out = join(folder, `${name}.html`);
    this.call(0, "run", "report", `contoso/${run.run}`, "--out", out, ...more);
  }

  async end() {
    this.emulator.stdin.end();
    await new Promise((done) => this.emulator.once("exit", done));
    rmSync(this.data, { recursive: true });
  }
}

async function small() {
  const world = await World.begin(SMALL);
  world.sync(0);
  await world.ask("change");
  const completed = world.sync(0, "-vv");
  world.report("completed", completed);
  world.report("completed-lines", completed, "--from-logs", world.lines);
  await world.ask("disable 12");
  const held = world.sync(3);
  world.report("held", held);
  world.report("held-names-lines", held, "--names", "--from-logs", world.lines);
  await world.ask("play users page 2 2 times: status 429");
  await world.ask("play users page 3 always: denied");
  const failed = world.sync(4, "-vv");
  world.report("failed", failed);
  world.report("failed-lines", failed, "--from-logs", world.lines);
  await world.ask("heal");
  await world.served("served", held);
  world.call(0, "hold", "approve", "contoso/3", "--plan", held.held.plan, "--logs", world.lines);
  world.report("released-lines", held, "--from-logs", world.lines);
  await world.end();
}

async function large() {
  const world = await World.begin(LARGE);
  await world.killed();
  const first = world.sync(0);
  world.report("large-first-lines", first, "--from-logs", world.lines);
  world.report("large-first", first);
  // Some of them are guests, who are out of scope.
  await world.ask("disable 550");
  await world.ask("play users page 40 3 times: status 429");
  const off = world.sync(0);
  if (off.deactivated < 500) throw new Error(`only ${off.deactivated} were switched off`);
  world.report("large-off", off);
  world.report("large-off-lines", off, "--names", "--from-logs", world.lines);
  await world.end();
}

mkdirSync(folder, { recursive: true });
await small();
await large();
