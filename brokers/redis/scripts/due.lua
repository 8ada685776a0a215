-- due: which schedules are due. Also notes that somebody looks: ticks of the time in which nobody did are missed.
-- args: { most, ms of a break after which ticks were missed }
-- returns: { now, end of the last such break, next moment at which one is due (-1: none), { schedule, due ms, ... } }
local most, break_ms = unpack(args)
local NOTED_EVERY = 500
local seen, back = unpack(look(P .. 'ticker', 'seen', 'back'))
seen, back = number(seen, 0), number(back, now)
if now - seen > break_ms then
  back = now
  set_facts(P .. 'ticker', 'seen', now, 'back', back)
elseif now - seen >= NOTED_EVERY or seen > now then
  set_facts(P .. 'ticker', 'seen', now)
end
local found = range('due', '-inf', now, 'WITHSCORES', 'LIMIT', 0, most)
local _, coming = unpack(range('due', '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1))
for at = 2, #found, 2 do found[at] = number(found[at], 0) end
return cmsgpack.pack({ now, back, number(coming, -1), found })
