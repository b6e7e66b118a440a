package fhirsrs.hapi;

import ca.uhn.fhir.batch2.api.IJobMaintenanceService;
import ca.uhn.fhir.jpa.search.IStaleSearchDeletingSvc;
import ca.uhn.fhir.jpa.search.cache.DatabaseSearchCacheSvcImpl;
import ca.uhn.fhir.jpa.search.cache.ISearchCacheSvc;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.springframework.aop.framework.AopProxyUtils;
import org.springframework.context.ApplicationContext;

/** What HAPI does once a minute and a test cannot wait for, done once a second. */
final class Chores {

    private Chores() {}

    static void start(ApplicationContext beans, Settings settings) {
        ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread thread = new Thread(task, "chores");
            thread.setDaemon(true);
            return thread;
        });
        if (settings.pageExpirySeconds() > 0) {
            expirePages(beans, clock);
        }
        if (settings.bulk()) {
            IJobMaintenanceService jobs = beans.getBean(IJobMaintenanceService.class);
            everySecond(clock, jobs::runMaintenancePass);
        }
    }

    /** A page lives for its expiry + the reuse time + a slack of a minute, looked at once a minute. */
    private static void expirePages(ApplicationContext beans, ScheduledExecutorService clock) {
        // The bean is a proxy for its transactions; the slack is set on what stands behind it.
        ISearchCacheSvc proxy = beans.getBean(ISearchCacheSvc.class);
        Object cache = AopProxyUtils.getSingletonTarget(proxy);
        ((DatabaseSearchCacheSvcImpl) (cache == null ? proxy : cache)).setCutoffSlackForUnitTest(0);
        IStaleSearchDeletingSvc pages = beans.getBean(IStaleSearchDeletingSvc.class);
        everySecond(clock, pages::pollForStaleSearchesAndDeleteThem);
    }

    private static void everySecond(ScheduledExecutorService clock, Runnable chore) {
        Runnable logged = () -> {
            try {
                chore.run();
            } catch (RuntimeException failure) { // else the executor would silently never run it again
                failure.printStackTrace();
            }
        };
        clock.scheduleWithFixedDelay(logged, 1, 1, TimeUnit.SECONDS);
    }
}
