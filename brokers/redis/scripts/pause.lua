#!lua flags=allow-oom
-- pause: stop the handing out of a queue's calls, or go on with it. Every live worker gets a command, so that its blocking read
-- leaves the queue out; fetch.lua looks at the set itself, so that nothing is handed out from this moment on.
-- args: { 'pause' or 'resume', queue }
-- returns: 1 if that changed anything
-- needs: inboxes events
local what, queue = unpack(args)
members('paused') -- a key of another type goes
local news
if what == 'pause' then
  news = redis.call('SADD', P .. 'paused', queue)
else
  news = redis.call('SREM', P .. 'paused', queue)
end
for _, consumer in ipairs(places('workers', 0, -1)) do order(consumer, what .. '_queue', queue) end
deliver_inboxes()
if news == 1 then
  happen('work-queue.' .. (what == 'pause' and 'paused' or 'resumed'), thing('work-queue', queue, queue))
  write_events()
end
return cmsgpack.pack(news)
