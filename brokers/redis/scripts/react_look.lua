-- react_look: how far reactors have come, which counts are due, how many calls of actions wait. Writes nothing.
-- args: { most due, queue of the calls }
-- returns: { now, version, journal, events, partly, { due count, ... }, next due ms (-1: none), calls, definitions }
local most, queue = unpack(args)
local version, journal, events, partly = unpack(look(P .. 'reactor', 'v', 'j', 'e', 'p'))

local function list(reply) return type(reply) == 'table' and not reply.err and reply or {} end
local function size(reply) return type(reply) == 'number' and reply or 0 end

local waiting = 0
for _, route in ipairs({ queue .. ':rs', queue .. ':ds' }) do
  local there = size(redis.pcall('XLEN', stream(route)))
  if there > 0 then waiting = waiting + math.max(0, there - number(list(redis.pcall('XPENDING', stream(route), GROUP))[1], 0)) end
end

local due = list(redis.pcall('ZRANGEBYSCORE', P .. 'deadlines', '-inf', now, 'LIMIT', 0, most))
local coming = list(redis.pcall('ZRANGEBYSCORE', P .. 'deadlines', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1))
local newest = list(redis.pcall('ZREVRANGE', P .. 'docs:automation', 0, 0, 'WITHSCORES'))
local definitions = size(redis.pcall('ZCARD', P .. 'docs:automation')) .. ' ' .. (newest[1] or '') .. ' ' .. (newest[2] or '')
return cmsgpack.pack({ now, number(version, 0), journal or '', events or '', partly or '', due,
  number(coming[2], -1), waiting, definitions })
