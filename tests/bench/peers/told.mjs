// What a peer tells the bench: one line of JSON. Then it waits for the end of its input, so that what it used
// can be read.

export async function read(users) {
  let told;
  try {
    const ids = await users();
    told = process.env.BENCH_WITH_IDS ? { users: ids.length, ids } : { users: ids.length };
  } catch (error) {
    told = { failed: String(error) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
  process.stdin.resume();
  await new Promise(resolve => process.stdin.on('end', resolve));
}
