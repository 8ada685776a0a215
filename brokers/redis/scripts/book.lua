-- book: take a turn under limits whose places come back by themselves (`decay`, places a second), in all of them at once.
-- args: { booking, {name, ...}, places of each, longest wait ms or -1, strict }
-- returns: { how, ms, names }: 'held': it begins after ms; 'late': it would begin after ms, which is too long; 'waits': a
--   limit is 0, ask again after ms; 'never': these have fewer places; 'no decay'; 'unknown' (strict). Else names: not declared
-- A booking that is asked for again, since its reply was lost, is the same one.
-- needs: ends
local id, names, weight, longest, strict = unpack(args, 1, 5)
local booking = P .. 'lease:' .. id
local unknown, bad, found = {}, {}, {}
local how, wait = 'held', 0

local function refuse(why, name)
  if how ~= why then how, bad = why, {} end
  bad[#bad + 1] = name
end

local function look_at(name)
  local declared, active = unpack(look(P .. 'doc:limit:' .. name, 'limit', 'active'))
  if not number(declared) then unknown[#unknown + 1] = name; return end
  if active == '0' then return end
  local free, size, decay = free_in({ name = name })
  if decay <= 0 then return refuse('no decay', name) end
  if size <= 0 then return refuse('waits', name) end
  if weight > size then return refuse('never', name) end
  found[#found + 1] = { name, decay }
  wait = math.max(wait, (weight - free) * 1000 / decay)
end

local function fill(name, decay)
  local amount = filled(name, decay) + weight
  set_facts(P .. 'fill:' .. name, 'amount', string.format('%.6f', amount), 'at', now)
  redis.call('PEXPIRE', P .. 'fill:' .. name, math.ceil(amount * 1000 / decay) + 60000)
end

local booked = look(booking, 'at')[1]
if booked then return cmsgpack.pack({ 'held', math.max(0, number(booked, now) - now), unknown }) end
for _, name in ipairs(names) do look_at(name) end
if strict and unknown[1] then return cmsgpack.pack({ 'unknown', 0, unknown }) end
if how ~= 'held' then return cmsgpack.pack({ how, 10000, bad }) end
wait = math.ceil(wait)
if longest >= 0 and wait > longest then return cmsgpack.pack({ 'late', wait, unknown }) end
for _, one in ipairs(found) do fill(unpack(one)) end
set_facts(booking, 'at', now + wait)
redis.call('PEXPIRE', booking, wait + 60000)
close_script()
return cmsgpack.pack({ 'held', wait, unknown })
