// A session of ioredis: node ioredis.js PORT. Fails at the first reply that is not as expected.
'use strict';
const assert = require('node:assert');
const { Redis } = require('ioredis');

async function session() {
  const client = new Redis(Number(process.argv[2]), { connectionName: 'tester', retryStrategy: null });
  client.on('error', (error) => { throw error; });
  await client.flushall();
  assert.equal(await client.client('GETNAME'), 'tester');
  assert.equal(await client.set('key', 'value', 'PX', 100_000, 'NX'), 'OK');
  assert.equal(await client.get('key'), 'value');
  assert.equal(await client.get('nothing'), null);
  assert.equal(await client.persist('key'), 1);
  assert.equal(await client.getset('key', 'new'), 'value');
  assert.equal(await client.setex('key', 100, 'v'), 'OK');
  const big = Buffer.alloc(3_000_000, 'x');
  await client.set('big', big);
  assert.ok(big.equals(await client.getBuffer('big')));

  const pipeline = await client.pipeline().set('n', 1).incr('n').lpush('n', 1).exec();
  assert.deepEqual(pipeline.slice(0, 2), [[null, 'OK'], [null, 2]]);
  assert.match(pipeline[2][0].message, /unknown command/);
  assert.deepEqual(await client.multi().incr('n').get('nothing').exec(), [[null, 3], [null, null]]);
  const other = client.duplicate();
  await client.watch('n');
  await other.incr('n');
  assert.equal(await client.multi().set('n', 100).exec(), null);
  await other.quit();

  await client.mset(new Map(Array.from({ length: 500 }, (_, number) => [`many:${number}`, number])));
  const keys = new Set();
  for await (const found of client.scanStream({ match: 'many:*', count: 7 })) {
    found.forEach((key) => keys.add(key));
  }
  assert.equal(keys.size, 500);
  assert.match(await client.info(), /redis_version:/);
  assert.equal(await client.quit(), 'OK');
}

session().then(() => console.log('as expected'));
