-- react: one step of a reactor: compare, move on, write what is counted now and the calls of what fired. All of it, or
-- nothing if somebody else has moved meanwhile: an event counts once, and a firing has its calls.
-- args: { version as it was read, journal, events, partly, { { count, value ('': forget it), ttl ms, due ms (0: never) }, ... },
--         { { automation, firing, its name, id of the event }, ... }, calls, how many firings of an automation are kept, ms that they are }
-- returns: 1 it is written, 0 somebody else was first
-- needs: submitting
local expected, journal, events, partly, counts, firings, calls, kept, kept_ms = unpack(args)
local key = P .. 'reactor'
if number(look(key, 'v')[1], 0) ~= expected then return cmsgpack.pack(0) end

for _, one in ipairs(counts) do
  local name, value, ttl, due = unpack(one)
  if value == '' then redis.call('DEL', P .. 'count:' .. name)
  else redis.call('SET', P .. 'count:' .. name, value, 'PX', ttl) end
  if due > 0 then put('deadlines', due, name) else drop('deadlines', name) end
end

for _, one in ipairs(firings) do
  local automation, row, called, event = unpack(one)
  local name = 'firings:' .. automation
  local reply = redis.pcall('LPUSH', P .. name, row)
  if asked(reply, name) ~= reply then redis.call('LPUSH', P .. name, row) end
  redis.call('LTRIM', P .. name, 0, kept - 1)
  redis.call('PEXPIRE', P .. name, kept_ms)
  local source = thing('event', event, nil, 'triggering-event')
  happen('automation.triggered', thing('automation', automation, called), event ~= '' and { source } or {})
end

for _, call in ipairs(calls) do
  local _, _, route = unpack(call, 1, 3)
  redis.pcall('SADD', P .. 'queues', queue_of(route))
  submit_call(call)
end

set_facts(key, 'v', string.format('%.0f', expected + 1), 'j', journal, 'e', events, 'p', partly)
count_accepted()
close_script()
return cmsgpack.pack(1)
