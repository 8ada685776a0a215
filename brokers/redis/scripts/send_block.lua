-- send_block: the calls of one block without anything special, as a few threads or coroutines send them together. What
-- submit.lua does for it, without the parts of lib/, whose functions take the server three times as long to define.
-- args: block, task, route, queue, flow run, inbox, meta, deliveries allowed, calls, bodies, where each ends in them (4 bytes),
--   each an ARGV of its own; '' for what it has not
-- returns: 1; 0 where nothing was written and submit.lua has to look: the block is known already (a repeated submit), an older
--   worker is alive, or something is damaged
local P = KEYS[1]
local name, task, route, queue, flow_run, inbox, meta, deliveries, calls, bodies, ends = unpack(ARGV)
local count = tonumber(calls)
local hash, range_id, stream = P .. 'b:' .. name, name .. 'r000', P .. 'q:' .. route
local range_hash = P .. 'r:' .. range_id
if redis.call('EXISTS', hash, range_hash, P .. 'r:' .. name .. '0000') > 0 then return 0 end
if type(redis.pcall('XLEN', stream)) ~= 'number' then return 0 end
local workers = redis.pcall('ZRANGEBYSCORE', P .. 'workers', 1, '+inf')
if workers.err then return 0 end
for _, consumer in ipairs(workers) do
  if type(redis.pcall('ZSCORE', P .. 'block_readers', consumer)) ~= 'string' then return 0 end
end

-- As in send.lua, the queue's entry comes first: the one write that may be refused.
local entry = redis.call('XADD', stream, '*', 'i', range_id)
local clock = redis.call('TIME')
local places = string.rep('\0', count)
local fields = { 'n', count, 't', task, 'q', route, 'b', bodies, 'l', ends, 'L', string.rep('Q', count), 'g', places,
  'p', places, 'a', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) }
local n = 18
if flow_run ~= '' then fields[n + 1] = 'f'; fields[n + 2] = flow_run; n = n + 2 end
if inbox ~= '' then fields[n + 1] = 'w'; fields[n + 2] = inbox; n = n + 2 end
if meta ~= '' then fields[n + 1] = 'm'; fields[n + 2] = meta; n = n + 2 end
if deliveries ~= '' then fields[n + 1] = 'y'; fields[n + 2] = deliveries end
redis.call('HSET', hash, unpack(fields))
redis.call('HSET', range_hash, 's', 'Q', 't', task, 'q', route, 'b', '', 'm', cmsgpack.pack({ n = 2 }),
  'e', route .. ' ' .. entry, 'F', 0, 'T', count - 1)

local function count_up(key, field, by)
  local value = redis.pcall('HINCRBY', key, field, by)
  if type(value) ~= 'number' then redis.pcall('HSET', key, field, by) end
  return value
end

if count_up(P .. 'more', route, count - 1) == 0 then redis.call('HDEL', P .. 'more', route) end
redis.pcall('SADD', P .. 'queues', queue)
count_up(P .. 'submitted', queue .. ':' .. task, count)
local function add_to_journal() return redis.pcall('XADD', P .. 'journal', '*', 'S', cmsgpack.pack({ name, count })) end
local reply = add_to_journal()
if type(reply) == 'table' and string.find(reply.err, 'WRONGTYPE', 1, true) then
  redis.call('DEL', P .. 'journal')
  add_to_journal()
end
return 1
