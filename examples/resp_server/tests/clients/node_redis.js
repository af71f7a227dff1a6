// A session of node-redis: node node_redis.js PORT. Fails at the first reply that is not as expected.
'use strict';
const assert = require('node:assert');
const { createClient, WatchError } = require('redis');

async function session(version) {
  const url = `redis://127.0.0.1:${process.argv[2]}`;
  const client = createClient({ url, RESP: version, name: 'tester', socket: { reconnectStrategy: false } });
  client.on('error', (error) => { throw error; });
  await client.connect();
  await client.flushAll();
  assert.equal((await client.hello(version)).proto, version);
  assert.equal(await client.clientGetName(), 'tester');
  assert.equal((await client.clientInfo()).libName, 'node-redis');

  assert.equal(await client.set('key', 'value', { EX: 100 }), 'OK');
  assert.equal(await client.get('key'), 'value');
  assert.equal(await client.get('nothing'), null);
  assert.equal(await client.expire('key', 200, 'GT'), 1);
  assert.equal(await client.type('key'), 'string');
  assert.equal(await client.getDel('key'), 'value');
  assert.deepEqual(await client.mGet(['key', 'nothing']), [null, null]);
  const big = 'x'.repeat(3_000_000);
  await client.set('big', big);
  assert.ok(await client.get('big') === big);
  assert.equal(await client.unlink('big'), 1);

  const replies = await client.multi().set('n', 1).incr('n').get('nothing').exec();
  assert.deepEqual(replies, ['OK', 2, null]);
  const other = await client.duplicate().connect();
  await client.watch('n');
  await other.incr('n');
  await assert.rejects(client.multi().set('n', 100).exec(), WatchError);
  await other.close();
  await assert.rejects(client.lPush('list', 'x'), /unknown command/);

  await Promise.all(Array.from({ length: 500 }, (_, number) => client.set(`many:${number}`, number)));
  const keys = new Set();
  for await (const found of client.scanIterator({ MATCH: 'many:*', COUNT: 7 })) {
    [].concat(found).forEach((key) => keys.add(key));
  }
  assert.equal(keys.size, 500);
  assert.deepEqual({ ...await client.configGet('save') }, { save: '' });
  assert.match(await client.info(), /redis_version:/);
  await client.close();
}

session(2).then(() => session(3)).then(() => console.log('as expected'));
