-- store: the first part of every script but send.lua: its arguments, the time, and reading what may be damaged.
-- KEYS[1] is the namespace prefix, ARGV[1] one msgpack value (old spec: no bin type), the reply is one msgpack value.
-- CARRIED (set before this line): queued runs travel as messages of another broker, see tickets.lua.
-- Names of keys are described in brokers/redis/keys.py, letters in brokers/schema.py.
local P = KEYS[1]
local GROUP = 'w'
local args = cmsgpack.unpack(ARGV[1])
local SETTLED = { C = true, F = true, K = true, Z = true, N = true }
local DAY = 86400000

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local blocks = {} -- what lib/blocks.lua does, also for those parts that come before it

local function record(id)
  -- of a run that is to be changed: one that is in a block of calls (version 8) is moved out of it
  if string.byte(id, 15) == 56 and blocks.move_out then blocks.move_out(id) end
  return P .. 'r:' .. id
end

local function stream(route) return P .. 'q:' .. route end

-- What stands in the store may have been written by anybody. It costs the run that it names and nothing else: no other
-- run of the same script, and nobody's reply. So fields are read with these, and loops over runs go through `apart`.
local function number(field, otherwise)
  local value = field and tonumber(field)
  return value and value == value and value or otherwise
end

local function look(key, ...)
  -- the fields of a hash, false for each that is missing; a key of another type is none
  local f = redis.pcall('HMGET', key, ...)
  if not f.err then return f end
  f = {}
  for i = 1, select('#', ...) do f[i] = false end
  return f
end

local function count_up(key, field, by)
  -- a counter that is no number begins anew
  local value = redis.pcall('HINCRBY', key, field, by)
  if type(value) == 'number' then return value end
  redis.pcall('HSET', key, field, math.max(0, by))
  return by
end

-- The sets and streams that all runs share. If something of another type stands in the place of one, what it held is lost
-- already: it begins anew, rather than be in everybody's way.
local function asked(reply, name, otherwise)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply.err) end
  redis.call('DEL', P .. name)
  return otherwise
end

local function put(name, at, member)
  local reply = redis.pcall('ZADD', P .. name, at, member)
  if asked(reply, name) ~= reply then redis.call('ZADD', P .. name, at, member) end
end

local function drop(name, ...) return asked(redis.pcall('ZREM', P .. name, ...), name, 0) end
local function range(name, ...) return asked(redis.pcall('ZRANGEBYSCORE', P .. name, ...), name, {}) end
local function places(name, ...) return asked(redis.pcall('ZRANGE', P .. name, ...), name, {}) end
local function score(name, member) return asked(redis.pcall('ZSCORE', P .. name, member), name, false) end
local function size_of(name) return asked(redis.pcall('ZCARD', P .. name), name, 0) end
local function members(name) return asked(redis.pcall('SMEMBERS', P .. name), name, {}) end

local function set_facts(key, ...)
  local reply = redis.pcall('HSET', key, ...)
  if type(reply) == 'number' then return end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply.err) end
  redis.call('DEL', key)
  redis.call('HSET', key, ...)
end

local function unpacked(packed)
  local well, list = pcall(cmsgpack.unpack, packed)
  return well and type(list) == 'table' and list or {}
end
