#!lua flags=allow-oom
-- tidy: find consumers that hold calls though nobody beats for them (a server that lost its last second), forget idle ones,
-- and drop dead letters whose records have expired.
-- args: { patience ms, dead letter ttl ms, ttl ms of the journal }
-- returns: how many orphans were found; they are marked as dead, for the next beat to tell
local patience, dead_ttl = args[1], args[2]
local FORGET = 3600000 -- ms without a call after which a consumer that does not beat is forgotten
local found = 0

local function look_at(key, consumer)
  if redis.call('ZSCORE', P .. 'workers', consumer.name) then return end
  if consumer.pending > 0 and consumer.idle > patience then
    redis.call('ZADD', P .. 'workers', 0, consumer.name)
    found = found + 1
  elseif consumer.pending == 0 and consumer.idle > FORGET then
    redis.call('XGROUP', 'DELCONSUMER', key, GROUP, consumer.name)
  end
end

local function look_at_all(key)
  local reply = redis.pcall('XINFO', 'CONSUMERS', key, GROUP)
  if reply.err then return end
  for _, row in ipairs(reply) do
    local consumer = {}
    for i = 1, #row, 2 do consumer[row[i]] = row[i + 1] end
    look_at(key, consumer)
  end
end

for _, queue in ipairs(redis.call('SMEMBERS', P .. 'queues')) do
  for _, letter in ipairs({ 'r', 'h', 'd', 'l' }) do
    for _, lane in ipairs({ 's', 'a' }) do look_at_all(stream(queue .. ':' .. letter .. lane)) end
  end
end
redis.call('XTRIM', P .. 'journal', 'MINID', '~', string.format('%.0f', math.max(0, now - args[3])))
redis.call('ZREMRANGEBYSCORE', P .. 'dead', '-inf', now - dead_ttl)
return cmsgpack.pack(found)
